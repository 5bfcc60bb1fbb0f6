"""Two revisions of a real project side by side: git has their params, DVC their predictions."""

import re
import sys
from pathlib import Path

import pytest

from tests.end_to_end.clones import Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def compare(clone: Clone, first: str, second: str, page: Path) -> str:
    command = (sys.executable, "-m", "pipeline", "compare", first, second, "--output", str(page))
    return clone.run(*command)


def test_a_commit_and_an_experiment_of_it(clone: Clone, tmp_path: Path) -> None:
    clone.dvc("exp", "run", "--name", "shorter", "--set-param", "train_baseline.epochs=3")
    experiment = clone.card("baseline")["model_digest"]
    # Neither lies in the working tree: both come from git and DVC's cache.
    clone.run("git", "checkout", "--quiet", ".")
    clone.dvc("checkout")
    assert clone.card("baseline")["model_digest"] != experiment
    page = tmp_path / "page.html"
    output = compare(clone, "HEAD:baseline", "shorter:baseline", page)
    assert re.search(r"Of \d+ test images B alone gets \d+ right", output), output
    text = page.read_text(encoding="utf-8")
    cells = re.search(r"train_baseline\.epochs</th>\s*<td[^>]*>(\w+)</td>\s*<td[^>]*>(\w+)</td>", text)
    assert cells is not None
    assert cells.groups() == ("6", "3")
    assert clone.run("git", "status", "--porcelain") == ""
