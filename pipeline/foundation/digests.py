"""Digests, SHA-256 but for DVC's, of bytes, files and JSON values, as lower-case hexadecimal text."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def digest_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """The digest of a file's bytes, of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5_file(path: Path) -> str:
    """What DVC calls the hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def digest_json(value: Any) -> str:
    """The digest of a JSON-serializable value, independent of the order of its keys."""
    return digest_bytes(_canonical(value))


def digest_rows(rows: Iterable[Any]) -> str:
    """The digest of JSON-serializable values that need not be in memory together."""
    sha256 = hashlib.sha256()
    for row in rows:
        sha256.update(_canonical(row) + b"\n")
    return sha256.hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
