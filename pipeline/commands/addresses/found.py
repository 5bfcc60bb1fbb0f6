"""What an address can mean: a model and where it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.tracking.lineage.values import RunSummary


@dataclass(frozen=True)
class InWorkingTree:
    """A candidate as it lies in models/."""

    candidate: str

    def __str__(self) -> str:
        return f"the model {self.candidate} in the working tree"


@dataclass(frozen=True)
class InRevision:
    """A commit or experiment, or one of its candidates.

    Attributes:
      name: as it was given.
      commit: full hash.
      title: of the commit, in words.
      candidate: one of CANDIDATES, or BEST; None where only the revision was named.
    """

    name: str
    commit: str
    title: str
    candidate: str | None = None

    def __str__(self) -> str:
        return f"the model {self.candidate} of {self.title}" if self.candidate else self.title


@dataclass(frozen=True)
class OfRun:
    """A run in MLflow, whether it has made a model or not."""

    run: "RunSummary"

    def __str__(self) -> str:
        return f"run {self.run.run_id} ({self.run.name})"


@dataclass(frozen=True)
class InRegistry:
    """A version of a registered model; where it was named by its number, nobody has looked yet."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"version {self.version} of {self.name}"


@dataclass(frozen=True)
class OnDisk:
    """A model.keras that people have put somewhere."""

    network: Path

    def __str__(self) -> str:
        return str(self.network)


@dataclass(frozen=True)
class Export:
    """A folder with an export.json."""

    folder: Path

    def __str__(self) -> str:
        return f"the export {self.folder}"


Found = InWorkingTree | InRevision | OfRun | InRegistry | OnDisk | Export
