"""IDX files."""

import struct

import numpy as np
import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.sources.idx import parse_idx


def test_the_shape_comes_from_the_header() -> None:
    # By the format's description: 0 0 type dimensions, sizes as big-endian integers, values row by row.
    data = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3]) + bytes([1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(parse_idx(data, "x"), [[[1, 2, 3]], [[4, 5, 6]]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an IDX file"),
        (b"PNG?", "not an IDX file"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 1]) + bytes(4), "not an IDX file"),  # floating-point values
        (bytes([0, 0, 8, 3]) + struct.pack(">I", 5), "not an IDX file"),
        (bytes([0, 0, 8, 1]) + struct.pack(">I", 5) + bytes(4), "damaged or incomplete"),
        (bytes([0, 0, 8, 1]) + struct.pack(">I", 5) + bytes(6), "damaged or incomplete"),
    ],
)
def test_anything_else_is_one_clear_error(data: bytes, message: str) -> None:
    with pytest.raises(PipelineError, match=f"labels is {message}"):
        parse_idx(data, "labels")
