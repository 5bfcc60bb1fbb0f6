"""What `make audit` makes of its tools' answers."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def audit(project: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", project / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_vulnerabilities_are_named_with_what_fixes_them(audit: ModuleType) -> None:
    known = {"name": "pillow", "version": "9.0", "vulns": [{"id": "CVE-1", "fix_versions": ["9.1"]}]}
    answer = {"dependencies": [known, {"name": "numpy", "version": "2.0", "vulns": []}]}
    found = audit.vulnerabilities([answer, answer])
    assert found.problems == ["pillow 9.0: CVE-1, fixed in 9.1"]
    assert found.said == "2 packages asked"


def test_packages_that_nobody_knows_are_named(audit: ModuleType) -> None:
    answer = {"dependencies": [{"name": "ours", "skip_reason": "not found"}, {"name": "numpy", "vulns": []}]}
    assert audit.vulnerabilities([answer]).said == "1 packages asked, unknown to PyPI: ours"


def test_without_a_network_it_says_so(audit: ModuleType, tmp_path: Path) -> None:
    answer = {"dependencies": [{"name": "numpy", "skip_reason": "Dependency not found on PyPI"}]}
    assert audit.vulnerabilities([answer]).said.startswith("NOT ASKED")
    tool = tmp_path / "pip-audit"
    tool.write_text(
        "#!/bin/sh\necho 'requests.exceptions.ConnectionError: Max retries exceeded' >&2\nexit 1\n"
    )
    tool.chmod(0o700)
    assert audit.known_vulnerabilities(tmp_path).said.startswith("NOT ASKED")
    tool.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    assert audit.known_vulnerabilities(tmp_path).problems == []
    tool.write_text("#!/bin/sh\necho 'no such option' >&2\nexit 2\n")
    with pytest.raises(RuntimeError, match="pip-audit failed: no such option"):
        audit.known_vulnerabilities(tmp_path)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("MIT License", True),
        ("Apache-2.0 OR GPL-2.0-or-later", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", True),
        ("GNU General Public License v3 (GPLv3)", False),
        ("MIT AND AGPL-3.0", False),
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", False),
        ("GPL-3.0-only AND (MIT OR ISC)", False),
        ("UNKNOWN", False),
    ],
)
def test_licenses(audit: ModuleType, text: str, allowed: bool) -> None:
    rows = [{"Name": "some", "Version": "1", "License": text}]
    assert audit.is_allowed(text) == allowed
    assert audit.licenses(rows).problems == ([] if allowed else [f"some 1: {text}"])
    assert audit.licenses([{**rows[0], "Name": "grandalf"}]).problems == []
