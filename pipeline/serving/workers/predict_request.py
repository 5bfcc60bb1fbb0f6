"""The body of a predict request in TensorFlow Serving's REST protocol.

The format is described at https://www.tensorflow.org/tfx/serving/api_rest. Both of its forms are read,
rows (`instances`) and columns (`inputs`), for the two signatures that an exported SavedModel has.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from pipeline.foundation.array_types import UInt8
from pipeline.images.decoding import from_base64
from pipeline.serving.refusals import Refused

SignatureName = Literal["serving_default", "serve_bytes"]

ARRAY_SIGNATURE: Final = "serving_default"
BYTES_SIGNATURE: Final = "serve_bytes"
INPUT_NAMES: dict[SignatureName, str] = {ARRAY_SIGNATURE: "image", BYTES_SIGNATURE: "image_bytes"}
"""The only input of each signature."""
OUTPUT_NAME = "probabilities"

_ANSWER_KEYS = {"instances": "predictions", "inputs": "outputs"}
_SHAPE_WORDS = "an array of whole numbers from 0 to 255 with the dimensions"


@dataclass(frozen=True)
class PredictRequest:
    """What a predict request asks.

    Attributes:
      images: pixels, or the bytes of encoded images.
      answer_key: of the answer: predictions for rows, outputs for columns.
    """

    images: UInt8[np.ndarray, "n h w c"] | list[bytes]
    answer_key: str


def read_predict_request(body: bytes, shape: tuple[int, int, int], max_images: int) -> PredictRequest:
    """Read the body of a request for a model that takes images of `shape` (height, width, channels).

    Raises:
      Refused: 400 where it is not what the protocol describes or what the model takes, 413 where it
        holds too many images.
    """
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):  # bytes that are not UTF-8 raise a ValueError too
        raise Refused(400, "JSON Parse error: the body is not valid JSON") from None
    if not isinstance(values, dict):
        raise Refused(400, "the body is not a JSON object")
    signature = values.get("signature_name") or ARRAY_SIGNATURE
    if not isinstance(signature, str):
        raise Refused(400, "'signature_name' key must be a string value.")
    if signature not in INPUT_NAMES:
        known = " and ".join(INPUT_NAMES)
        raise Refused(400, f"Serving signature name not found in signature def; there are {known}")
    given = [key for key in _ANSWER_KEYS if key in values]
    if len(given) != 1:
        raise Refused(400, "the body needs either 'instances' or 'inputs', and not both")
    (key,) = given
    tensor = (_of_rows if key == "instances" else _of_columns)(values[key], INPUT_NAMES[signature])
    if len(tensor) > max_images:
        raise Refused(413, f"more than {max_images} images in one request")
    images = _encoded_images(tensor) if signature == BYTES_SIGNATURE else _pixels(tensor, shape)
    return PredictRequest(images, _ANSWER_KEYS[key])


def _of_rows(rows: Any, name: str) -> list[Any]:
    """The input's values out of `[value, ...]` or `[{name: value}, ...]`."""
    if not isinstance(rows, list) or not rows:
        raise Refused(400, "'instances' is not a list with at least one value")
    return [_named(row, name) if isinstance(row, dict) and not _is_base64(row) else row for row in rows]


def _of_columns(columns: Any, name: str) -> list[Any]:
    """The input's values out of `values` or `{name: values}`."""
    if isinstance(columns, dict) and not _is_base64(columns):
        columns = _named(columns, name)
    if not isinstance(columns, list) or not columns:
        raise Refused(400, f"'inputs' has no list with at least one value for {name!r}")
    return columns


def _named(values: dict[str, Any], name: str) -> Any:
    if set(values) != {name}:
        raise Refused(400, f"expected exactly one named input, {name!r}")
    return values[name]


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"}


def _encoded_images(tensor: list[Any]) -> list[bytes]:
    images = []
    for value in tensor:
        if not _is_base64(value) or not isinstance(value["b64"], str):
            raise Refused(400, f'{BYTES_SIGNATURE} takes images as {{"b64": <base64 of a JPEG or PNG file>}}')
        try:
            images.append(from_base64(value["b64"]))
        except ValueError:
            raise Refused(400, "Unable to base64 decode") from None
    return images


def _pixels(tensor: list[Any], shape: tuple[int, int, int]) -> UInt8[np.ndarray, "n h w c"]:
    expected = f"{ARRAY_SIGNATURE} takes {_SHAPE_WORDS} [N, {', '.join(map(str, shape))}]"
    if any(map(_is_base64, tensor)):
        raise Refused(400, f'{expected}; for {{"b64": ...}} use "signature_name": "{BYTES_SIGNATURE}"')
    try:
        levels = np.array(tensor)
    except (ValueError, OverflowError):  # lists of different lengths, or nested too deep
        raise Refused(400, expected) from None
    if levels.shape[1:] != shape:
        raise Refused(400, f"{expected}, not {list(levels.shape)}")
    if levels.dtype.kind not in "iuf" or not (levels.min() >= 0 and levels.max() <= 255):
        raise Refused(400, expected)
    pixels = levels.astype(np.uint8)
    if not np.array_equal(pixels, levels):  # 127.0 is as good as 127, 127.5 is not
        raise Refused(400, expected)
    return pixels
