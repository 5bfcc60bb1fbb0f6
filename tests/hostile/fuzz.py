"""`make fuzz MINUTES=10`: mutated images and archives until the time is over or one is not survived.

Coverage-guided where atheris is installed (pip install atheris), else blindly. What is not survived stays as
a file, and its name is printed.
"""

import argparse
import random
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.hostile.mutations import archives, images, mutations
from tests.hostile.test_mutations import assert_decoded_or_refused, assert_read_or_refused


def check(data: bytes, folder: Path) -> None:
    """Both as an image and as an archive: each has to refuse the other."""
    try:
        assert_decoded_or_refused(data)
        assert_read_or_refused(data, folder)
    except Exception:
        kept = Path(tempfile.gettempdir()) / f"not-survived-{time.time_ns()}"
        kept.write_bytes(data)
        print(f"not survived: {kept}", flush=True)
        raise


def blindly(seeds: list[bytes], minutes: float, folder: Path) -> int:
    began, last, count = time.monotonic(), time.monotonic(), 0
    while time.monotonic() - began < 60 * minutes:
        seed = random.randrange(2**32)
        for data in mutations(random.choice(seeds), 100, seed):
            check(data, folder)
            count += 1
        if time.monotonic() - last > 5:
            last = time.monotonic()
            print(f"{count:,} files in {(last - began) / 60:.1f} of {minutes:g} minutes", flush=True)
    print(f"{count:,} files, all read or refused")
    return 0


def guided(seeds: list[bytes], minutes: float, folder: Path) -> None:
    import atheris

    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(seeds):
        (corpus / str(number)).write_bytes(data)
    atheris.instrument_all()
    options = [sys.argv[0], str(corpus), f"-max_total_time={round(60 * minutes)}", "-timeout=20"]
    atheris.Setup(options, lambda data: check(bytes(data), folder))
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    minutes = parser.parse_args().minutes
    warnings.simplefilter("ignore")
    seeds = [*images().values(), *archives().values()]
    with tempfile.TemporaryDirectory() as name:
        try:
            guided(seeds, minutes, Path(name))
        except ImportError:
            print("atheris is not installed: mutations are drawn blindly", flush=True)
        try:
            return blindly(seeds, minutes, Path(name))
        except Exception:
            traceback.print_exc()
            return 1


if __name__ == "__main__":
    sys.exit(main())
