"""The license, and where what is not ours or not text comes from."""

import hashlib
import re
import tomllib
from pathlib import Path

APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt."""


def test_the_license_is_the_standard_text(project: Path) -> None:
    assert hashlib.sha256((project / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0
    declared = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert declared["license"] == "Apache-2.0"
    assert all((project / name).is_file() for name in declared["license-files"])


def test_notice_says_where_everything_that_is_not_text_comes_from(project: Path, tracked: list[str]) -> None:
    notice = (project / "NOTICE").read_text(encoding="utf-8")
    named = re.findall(r"^[\w./-]+/[\w./-]*$", notice, re.MULTILINE)
    assert all((project / name).exists() for name in named)
    binary = [name for name in tracked if b"\0" in (project / name).read_bytes()]
    assert binary
    assert [name for name in binary if not name.startswith(tuple(named))] == []
