"""Arrays on disk and exact statistics."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.foundation.array_types import Int64, UInt8
from pipeline.images import parallel
from pipeline.images.array_writing import channel_statistics, write_arrays
from pipeline.images.arrays import ImageArrays
from pipeline.images.catalogue import CatalogueEntry, EncodedImages, ImageTarWriter

Write = Callable[[str], Int64[np.ndarray, "c 256"]]


@pytest.fixture
def pictures() -> UInt8[np.ndarray, "n h w c"]:
    return np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), dtype=np.uint8)


def decode_raw(data: bytes) -> UInt8[np.ndarray, "4 4 3"]:
    return np.frombuffer(data, dtype=np.uint8).reshape(4, 4, 3)


@pytest.fixture
def write(tmp_path: Path, pictures: UInt8[np.ndarray, "n h w c"]) -> Write:
    """Writes rows 49, 47, ... of the pictures as arrays; returns the counts of gray levels."""
    with (tmp_path / "images.tar").open("wb") as file:
        writer = ImageTarWriter(file)
        entries = []
        for picture in pictures:
            image_id, offset = writer.append(picture.tobytes(), "raw")
            entries.append(CatalogueEntry(image_id, "x", "a", "", "", 4, 4, offset, picture.nbytes))
        writer.finish()

    def run(name: str) -> Int64[np.ndarray, "c 256"]:
        chosen = entries[::-2]
        with EncodedImages(tmp_path / "images.tar") as encoded:
            return write_arrays(
                tmp_path / name, chosen, [entry.id % 7 for entry in chosen], encoded, decode_raw, (4, 4, 3)
            )

    return run


def test_rows_labels_and_ids_belong_together(
    tmp_path: Path, pictures: UInt8[np.ndarray, "n h w c"], write: Write
) -> None:
    write("train")
    arrays = ImageArrays.load(tmp_path / "train")
    assert isinstance(arrays.images, np.memmap)
    assert arrays.ids.tolist() == list(range(49, -1, -2))
    assert arrays.labels.tolist() == [number % 7 for number in range(49, -1, -2)]
    assert arrays.labels.dtype == arrays.ids.dtype == np.int64
    np.testing.assert_array_equal(arrays.images, pictures[::-2])


def test_statistics_are_exact(pictures: UInt8[np.ndarray, "n h w c"], write: Write) -> None:
    statistics = channel_statistics(write("train"))
    pixels = pictures[::-2].reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(statistics.mean, pixels.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(statistics.std, pixels.std(axis=0), rtol=1e-14)


def test_statistics_by_hand() -> None:
    counts = np.zeros((2, 256), dtype=np.int64)
    counts[0, [0, 255]] = 5  # half black, half white
    counts[1, 7] = 10
    statistics = channel_statistics(counts)
    assert statistics.mean == (127.5, 7.0)
    assert statistics.std == (127.5, 0.0)


def test_statistics_do_not_overflow() -> None:
    counts = np.zeros((1, 256), dtype=np.int64)
    counts[0, [254, 255]] = 10**13  # more pixels than fit into any sum of 64-bit squares of sums
    assert channel_statistics(counts).std == (0.5,)


def test_the_number_of_cores_does_not_show(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cores in (1, 5):
        monkeypatch.setattr(parallel, "available_cores", lambda cores=cores: cores)
        write(f"cores-{cores}")
    for name in ("images", "labels", "ids"):
        one, five = ((tmp_path / f"cores-{cores}" / f"{name}.npy").read_bytes() for cores in (1, 5))
        assert one == five
