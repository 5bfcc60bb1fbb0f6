"""Whatever is in a file: it is an image, or it is refused with a reason, in bounded time."""

import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.images.decoding import MAX_PIXELS, UnreadableImageError, decode
from pipeline.images.tails import without_tail
from pipeline.sources.archives import open_files
from pipeline.sources.bounds import USUAL
from tests.hostile.mutations import archives, images, mutations

IMAGES, ARCHIVES = images(), archives()
MOST_SECONDS = 10.0


def assert_decoded_or_refused(data: bytes) -> None:
    began, refusal = time.monotonic(), ""
    try:
        decoded = decode(data)
    except UnreadableImageError as error:
        refusal = str(error) or "no reason"
    else:
        width, height = decoded.pixels.size
        assert 0 < width * height <= MAX_PIXELS
        assert decoded.pixels.mode in ("L", "RGB")
        kept = decode(
            without_tail(data, decoded.extension, width * height)
        )  # what is stored can be read again
        assert kept.pixels.tobytes() == decoded.pixels.tobytes()
    assert refusal != "no reason"
    assert "\n" not in refusal
    assert time.monotonic() - began < MOST_SECONDS


def assert_read_or_refused(data: bytes, folder: Path) -> None:
    began = time.monotonic()
    path = folder / "archive"
    path.write_bytes(data)
    with suppress(PipelineError), open_files(path, folder / "temporary", USUAL, None) as files:
        for name in files.sizes:
            assert ".." not in name.split("/")
            with suppress(UnreadableImageError):
                assert len(files.read(name)) <= USUAL.file_bytes
    assert time.monotonic() - began < MOST_SECONDS


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", IMAGES)
def test_mutated_images(name: str) -> None:
    assert_decoded_or_refused(IMAGES[name])
    for data in mutations(IMAGES[name], 60, seed=len(name)):
        assert_decoded_or_refused(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ARCHIVES)
def test_mutated_archives(name: str, tmp_path: Path) -> None:
    for data in (ARCHIVES[name], *mutations(ARCHIVES[name], 60, seed=len(name))):
        assert_read_or_refused(data, tmp_path)


def test_an_archive_that_is_whole_gives_all_its_files(tmp_path: Path) -> None:
    for data in ARCHIVES.values():
        path = tmp_path / "archive"
        path.write_bytes(data)
        with open_files(path, tmp_path, USUAL, None) as files:
            assert len(files.sizes) == 6
            assert all(files.read(name).startswith(b"\x89PNG") for name in files.sizes)
