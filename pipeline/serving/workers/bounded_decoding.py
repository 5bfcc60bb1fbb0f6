"""Encoded images to pixels, within limits that are checked before anything is decoded."""

import numpy as np

from pipeline.foundation.array_types import UInt8
from pipeline.images.decoding import UnknownFormatError, UnreadableImageError
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.serving.refusals import Refused


def decode_bounded(
    data: bytes, preprocessing: PreprocessingSpec, max_pixels: int
) -> UInt8[np.ndarray, "h w c"]:
    """An image file as the network sees it, of `preprocessing.shape`.

    Raises:
      Refused: 415 where the file is not in an accepted format, 422 where it is damaged or too large.
    """
    try:
        return preprocessing.apply(data, max_pixels)
    except UnknownFormatError as error:
        raise Refused(415, f"not an image of an accepted format: {error}") from None
    except UnreadableImageError as error:
        raise Refused(422, f"the image cannot be decoded: {error}") from None
