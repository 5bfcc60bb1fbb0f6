"""Files that programs write, and what becomes of them on bad disks and in bad hands."""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from pipeline.images.decoding import FORMATS

_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


def images() -> dict[str, bytes]:
    """A small image in every format that can be written here, gray and in color, whole and animated."""
    random = np.random.default_rng(0)
    color = Image.fromarray(random.integers(0, 256, (13, 11, 3), np.uint8))
    pictures = {
        "color": color,
        "gray": color.convert("L"),
        "palette": color.convert("P"),
        "transparent": Image.fromarray(random.integers(0, 256, (13, 11, 4), np.uint8)),
        "16 bits": Image.fromarray(random.integers(0, 65536, (13, 11), np.uint16)),
    }
    found = {"TIFF in tiles": tiled_tiff()}
    for name in FORMATS:
        for kind, picture in pictures.items():
            for options in ({}, {"save_all": True, "append_images": [picture]}, {"progressive": True}):
                buffer = io.BytesIO()
                try:
                    picture.save(buffer, name, **options)
                except (OSError, KeyError, ValueError, SystemError):
                    continue  # this format has no such images, or Pillow does not write it
                found[f"{name} {kind} {' '.join(options)}".strip()] = buffer.getvalue()
    return found


def tiled_tiff(**tags: int | bytes) -> bytes:
    """A TIFF of 16 x 16 pixels in one compressed tile; Pillow does not write those.

    Args:
      tags: other values of tags, as `t322=32`; bytes are a text.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8).tobytes()
    tile = zlib.compress(pixels)
    numbers: dict[int, int | bytes] = {256: 16, 257: 16, 258: 8, 259: 8, 262: 2, 277: 3, 322: 16, 323: 16}
    place = 8 + 2 + 12 * (len(numbers) + 2) + 4
    numbers |= {324: place, 325: len(tile)} | {int(name[1:]): value for name, value in tags.items()}
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, value)
        if isinstance(value, int)
        else struct.pack("<HHI4s", tag, 2, 4, value)
        for tag, value in sorted(numbers.items())
    )
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(numbers)) + entries + bytes(4) + tile


def archives() -> dict[str, bytes]:
    """A few images in archives of every kind that is read."""
    files = {f"{name}/{number}.png": data for name in "ab" for number, data in enumerate(_some_images())}
    found = {}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        found[f"zip {method}"] = buffer.getvalue()
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        for compression in ("", "gz", "bz2", "xz"):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode=f"w:{compression}", format=form) as tar:  # type: ignore[call-overload]
                for name, data in files.items():
                    member = tarfile.TarInfo(name + "-é" * (form != tarfile.USTAR_FORMAT))
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
            found[f"tar {form} {compression}".strip()] = buffer.getvalue()
    return found


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`count` changed copies: bits and bytes, lost and doubled pieces, sizes that are not true."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(int(random.integers(1, 5))):
            if not changed:
                break
            at = int(random.integers(len(changed)))
            length = int(min(random.geometric(0.05), len(changed) - at))
            match int(random.integers(7)):
                case 0:
                    changed[at] ^= 1 << int(random.integers(8))
                case 1:
                    changed[at] = int(random.choice(_INTERESTING))
                case 2:
                    del changed[at : at + length]
                case 3:
                    changed[at:at] = changed[at : at + length] * int(random.integers(1, 4))
                case 4:
                    changed[at : at + 4] = int(random.integers(2**32)).to_bytes(4, "big")
                case 5:
                    changed[at : at + 4] = int(random.choice((2**31 - 1, 2**32 - 1, 2**16))).to_bytes(
                        4, "little"
                    )
                case _:
                    del changed[at:]
        yield bytes(changed)


def _some_images() -> list[bytes]:
    return [data for name, data in images().items() if name.startswith("PNG")][:3]
