"""Fingerprints of local data, because DVC cannot see that what fetch.location names has changed."""

from itertools import chain
from pathlib import Path

from pipeline.foundation.digests import digest_file, digest_rows
from pipeline.foundation.errors import PipelineError
from pipeline.images.parallel import ordered_map
from pipeline.params.fetch import FetchLimits
from pipeline.sources.walking import unicode_name, walk


def local_fingerprint(path: Path, limits: FetchLimits) -> str:
    """What source.json holds for a local fetch.location; differs when the content differs.

    For a file, its SHA-256; for a folder, a digest of the sorted relative paths and SHA-256 of its
    files. Hidden files and those of operating systems do not count; of what cannot be read, or is too
    large, the name and the reason do.

    Raises PipelineError where `path` does not exist, or is neither a folder nor a file.
    """
    if path.is_file():
        return digest_file(path)
    if not path.is_dir():
        what = "is neither a folder nor a file" if path.exists() else "does not exist"
        raise PipelineError(f"{path} {what}.", expected="a folder or file")
    found = walk(path, limits)
    names = sorted(found.files)
    digests = ordered_map(lambda name: _digest(path / name), names, lambda _: 0)  # read in small pieces
    read = ([unicode_name(name), digest] for name, digest in zip(names, digests, strict=True))
    return digest_rows(chain(read, ([each.file, each.reason] for each in found.rejected)))


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError as error:  # it has vanished, or may not be read; importing says so
        return error.strerror or str(error)
