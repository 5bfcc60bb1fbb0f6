"""What stands for DVC and MLflow where experiments are planned, and a project to plan them in."""

import itertools
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.tracking.runs.seed_groups import SeedGroup
from pipeline.tracking.runs.trainings import TrainingRun
from tests.tracking.made_runs import training_run

STAGES = {"baseline": "train_baseline", "transfer": "train_transfer", "tuned": "tune"}


@dataclass
class Outside:
    """What stands for DVC and MLflow: what they are told, and what they answer."""

    trainings: list[TrainingRun] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    recorded: list[SeedGroup] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    codes: Iterator[int] = field(default_factory=lambda: itertools.repeat(0))
    up_to_date: bool = False
    on_run: Callable[[str], None] = lambda name: None  # told of every experiment that is run

    @property
    def names(self) -> list[str]:
        return [command.split("--name ")[1].split()[0] for command in self.commands]

    @property
    def seeds(self) -> list[int]:
        return [int(command.split("-S seed=")[1].split()[0]) for command in self.commands]


def git(workspace: Workspace, *arguments: str) -> None:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=workspace.root, check=True, capture_output=True)


def change(workspace: Workspace, source: Path, key: str, value: object) -> None:
    """Write params.yaml with another value."""
    values = YAML().load(source.read_text(encoding="utf-8"))
    *sections, name = key.split(".")
    section = values
    for part in sections:
        section = section[part]
    section[name] = value
    with workspace.params.open("w", encoding="utf-8") as file:
        YAML().dump(values, file)


def trained(name: str, candidates: Sequence[str] = CANDIDATES, **fields: object) -> list[TrainingRun]:
    """Trainings of one experiment."""
    return [
        training_run(experiment=name, candidate=each, stage=STAGES[each], **fields) for each in candidates
    ]
