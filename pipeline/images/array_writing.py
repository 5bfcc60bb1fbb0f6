"""Decoded images written as .npy files, row by row, with exact statistics of every channel.

Only a few images are in memory at any time, so that a data set may be larger than the memory.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pipeline.foundation.array_types import Int64, UInt8
from pipeline.images.arrays import IDS_FILE, IMAGES_FILE, LABELS_FILE, ChannelStatistics
from pipeline.images.catalogue import CatalogueEntry, EncodedImages
from pipeline.images.parallel import DECODING_BYTES_PER_PIXEL, ordered_map, with_progress
from pipeline.processes.native_output import native_stderr_silenced

_LEVELS = 256


def write_arrays(
    folder: Path,
    entries: Sequence[CatalogueEntry],
    labels: Sequence[int],
    encoded: EncodedImages,
    prepare: Callable[[bytes], UInt8[np.ndarray, "h w c"]],
    shape: tuple[int, int, int],
) -> Int64[np.ndarray, "c 256"]:
    """Write images.npy, labels.npy and ids.npy of one subset.

    Args:
      folder: made where it does not exist.
      entries: rows of the arrays, in order.
      labels: one per entry.
      encoded: where the entries' bytes are.
      prepare: encoded bytes to uint8 pixels of `shape`.
      shape: height, width, channels of every image.

    Returns:
      How often each gray level occurs in each channel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / LABELS_FILE, np.array(labels, dtype=np.int64))
    np.save(folder / IDS_FILE, np.array([entry.id for entry in entries], dtype=np.int64))
    channels = shape[-1]
    counts = np.zeros((channels, _LEVELS), dtype=np.int64)
    with (folder / IMAGES_FILE).open("wb") as file, warnings.catch_warnings(), native_stderr_silenced():
        # Pillow warns of oddities in images that it reads all the same; fetch has accepted them.
        warnings.simplefilter("ignore")
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(entries), *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        images = ordered_map(
            lambda entry: _prepared(prepare, encoded.read(entry), shape), entries, _bytes_needed
        )
        for pixels, levels in with_progress(images, len(entries), f"{folder.name} images decoded"):
            file.write(pixels.tobytes())
            counts += levels
    return counts


def channel_statistics(counts: Int64[np.ndarray, "c 256"]) -> ChannelStatistics:
    """Mean and standard deviation from the number of pixels of each channel at each gray level.

    Sums of whole numbers are exact, so that neither the order of the images nor their number adds
    rounding errors.
    """
    means, deviations = [], []
    for channel in counts.tolist():
        number = sum(channel)
        total = sum(level * count for level, count in enumerate(channel))
        squares = sum(level * level * count for level, count in enumerate(channel))
        means.append(total / number)
        deviations.append(math.sqrt(number * squares - total * total) / number)
    return ChannelStatistics(mean=tuple(means), std=tuple(deviations))


def _bytes_needed(entry: CatalogueEntry) -> int:
    return entry.size + DECODING_BYTES_PER_PIXEL * entry.width * entry.height


def _prepared(
    prepare: Callable[[bytes], UInt8[np.ndarray, "h w c"]], data: bytes, shape: tuple[int, int, int]
) -> tuple[UInt8[np.ndarray, "h w c"], Int64[np.ndarray, "c 256"]]:
    pixels = prepare(data)
    assert pixels.shape == shape, pixels.shape
    assert pixels.dtype == np.uint8, pixels.dtype
    channels = shape[-1]
    # One count for all channels: level + 256 * channel.
    numbered = pixels.reshape(-1, channels) + np.arange(0, channels * _LEVELS, _LEVELS, dtype=np.int64)
    return pixels, np.bincount(numbered.ravel(), minlength=channels * _LEVELS).reshape(channels, _LEVELS)
