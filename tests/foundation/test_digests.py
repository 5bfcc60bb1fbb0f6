"""Digests are SHA-256, as other tools compute it."""

import subprocess
from pathlib import Path

from pipeline.foundation.digests import digest_bytes, digest_file, digest_json

# FIPS 180-2, appendix B.1
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_published_example() -> None:
    assert digest_bytes(b"abc") == ABC


def test_a_file_larger_than_a_chunk(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 8192 + b"rest")
    by_coreutils = subprocess.run(
        ["sha256sum", path], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert digest_file(path) == by_coreutils


def test_json_values_are_equal_whatever_the_order_of_keys() -> None:
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json({"b": [1, 2], "a": 1})
    assert digest_json({"a": 1}) != digest_json({"a": 1.5})
    assert digest_json([1, 2]) != digest_json([2, 1])
    assert digest_json({}) == digest_bytes(b"{}")
