"""What stands behind the end of an image in its file: no decoder looks at it, and it may be of any size."""

import struct

from pipeline.images.decoding import jpeg_parts

_PNG_CHUNK = struct.Struct(">I4s")
_PNG_SIGNATURE_BYTES, _PNG_CHECKSUM_BYTES = 8, 4
_RIFF_HEADER_BYTES = 8
_MOST_BYTES_OF_PIXEL = 8  # four channels of 16 bits


def without_tail(data: bytes, extension: str, pixels: int) -> bytes:
    """The file up to the end of its image, where its format tells the end; else without most zeros behind it.

    Args:
      data: an image that can be decoded.
      extension: of its format.
      pixels: width times height.
    """
    match extension:
        case "png":
            return data[: _end_of_png(data)]
        case "webp":
            size = int.from_bytes(data[4:_RIFF_HEADER_BYTES], "little")
            return data[: _RIFF_HEADER_BYTES + size + size % 2]
        case "jpg":
            return data[: jpeg_parts(data)[1]]
        case "gif":  # it ends with a mark that is not zero
            return data.rstrip(b"\0")
        case _:  # black pixels are zeros, too
            return data[: len(data.rstrip(b"\0")) + _MOST_BYTES_OF_PIXEL * pixels]


def _end_of_png(data: bytes) -> int:
    """Behind the chunk IEND; the whole length where there is none."""
    position = _PNG_SIGNATURE_BYTES
    while position + _PNG_CHUNK.size <= len(data):
        length, kind = _PNG_CHUNK.unpack_from(data, position)
        position += _PNG_CHUNK.size + int(length) + _PNG_CHECKSUM_BYTES
        if kind == b"IEND":
            return position
    return len(data)
