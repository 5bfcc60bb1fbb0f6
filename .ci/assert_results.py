"""Assert, in a clone where `make repro` has ended, that every output is there and the figures are honest.

The band is for the committed params: digits at 32x32 pixels, of which small networks get 97 to 99.5 %
right. Far below, something is broken; if no candidate made a single mistake on the test subset, its
images have leaked into the training.
"""

import json
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

LOWEST = 0.96
MARGIN_BELOW_REFERENCE = 0.01


def missing_outputs() -> list[str]:
    stages = YAML(typ="safe").load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    entries = [
        entry
        for stage in stages.values()
        for kind in ("outs", "metrics", "plots")
        for entry in stage.get(kind, [])
    ]
    paths = [Path(next(iter(entry)) if isinstance(entry, dict) else entry) for entry in entries]
    return [f"{path} is missing" for path in paths if not path.exists()] + [
        f"{path} is empty" for path in paths if path.is_dir() and not any(path.iterdir())
    ]


def stale_stages() -> list[str]:
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    status = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return [f"{stage} is not up to date" for stage in status]


def dishonest_figures() -> list[str]:
    scores = json.loads(Path("metrics/evaluate.json").read_text(encoding="utf-8"))
    references = json.loads(Path("metrics/references.json").read_text(encoding="utf-8"))
    reference = references["logistic_regression"]["test"]["accuracy"]
    problems = []
    if set(scores) != {"baseline", "transfer", "tuned"}:
        problems.append(f"the candidates are {sorted(scores)}")
    for candidate, subsets in scores.items():
        accuracy = subsets["test"]["accuracy"]
        print(f"{candidate}: test accuracy {accuracy:.4f} (logistic regression {reference:.4f})")
        if accuracy < LOWEST:
            problems.append(f"{candidate}: test accuracy {accuracy:.4f} is below {LOWEST}")
        if accuracy < reference - MARGIN_BELOW_REFERENCE:
            problems.append(f"{candidate}: test accuracy {accuracy:.4f} is below logistic regression")
    if all(subsets["test"]["accuracy"] == 1.0 for subsets in scores.values()):
        problems.append("no candidate makes a single mistake on the test subset")
    return problems


def main() -> None:
    problems = [*missing_outputs(), *stale_stages()]
    # Without its file there are no figures to judge.
    problems += [] if problems else dishonest_figures()
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
