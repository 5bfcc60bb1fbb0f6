"""Every path of the project, in one place."""

import os
from dataclasses import dataclass
from pathlib import Path

SUBSETS = ("train", "validation", "test")
CANDIDATES = ("baseline", "transfer", "tuned")

PARAMS_FILE = "params.yaml"

NETWORK_FILE, CARD_FILE, HISTORY_FILE = "model.keras", "card.json", "history.csv"
"""Of a trained model, wherever its folder is: in the project, in DVC's cache or in the registry."""


@dataclass(frozen=True)
class Workspace:
    """The project's folders as seen by a stage.

    `root` holds params.yaml and what the stages read and write. `home` is the place whose contents
    outlive the run: in a queued or temporary DVC experiment `root` is a copy that is deleted
    afterwards and `home` the project that it was copied from; otherwise the two are the same.
    """

    root: Path
    home: Path

    @classmethod
    def from_environment(cls) -> "Workspace":
        """The workspace of this process: the current folder, and $DVC_ROOT where DVC sets it."""
        root = Path.cwd().resolve()
        return cls(root=root, home=Path(os.environ.get("DVC_ROOT") or root).resolve())

    # what people write
    @property
    def params(self) -> Path:
        return self.root / PARAMS_FILE

    @property
    def stages(self) -> Path:
        """dvc.yaml: the stages with their dependencies and outputs."""
        return self.root / "dvc.yaml"

    @property
    def requirements(self) -> Path:
        """requirements.lock: the versions of all packages."""
        return self.root / "requirements.lock"

    @property
    def lock(self) -> Path:
        """dvc.lock: what every stage was last run with, and what it wrote."""
        return self.root / "dvc.lock"

    # fetch
    @property
    def raw(self) -> Path:
        return self.root / "data" / "raw"

    @property
    def source(self) -> Path:
        """Where the images come from, and what became of them."""
        return self.raw / "source.json"

    @property
    def catalogue(self) -> Path:
        """A line for every image."""
        return self.raw / "catalogue.csv"

    @property
    def rejected(self) -> Path:
        """A line for every file that was left out."""
        return self.raw / "rejected.csv"

    @property
    def encoded_images(self) -> Path:
        return self.raw / "images.tar"

    # split
    @property
    def split(self) -> Path:
        return self.root / "data" / "split" / "split.csv"

    @property
    def split_metrics(self) -> Path:
        return self.root / "metrics" / "split.json"

    # preprocess
    @property
    def arrays(self) -> Path:
        return self.root / "data" / "arrays"

    def subset(self, name: str) -> Path:
        """images.npy, labels.npy and ids.npy of one of SUBSETS."""
        return self.arrays / name

    @property
    def preprocessing(self) -> Path:
        return self.arrays / "preprocessing.json"

    @property
    def statistics(self) -> Path:
        """Mean and deviation of every channel."""
        return self.arrays / "statistics.json"

    # train_baseline, train_transfer, tune
    def model(self, candidate: str) -> Path:
        """The folder of a trained candidate."""
        return self.root / "models" / candidate

    def network(self, candidate: str) -> Path:
        return self.model(candidate) / NETWORK_FILE

    def card(self, candidate: str) -> Path:
        """What is known about a trained candidate."""
        return self.model(candidate) / CARD_FILE

    def history(self, candidate: str) -> Path:
        """A line for every epoch."""
        return self.model(candidate) / HISTORY_FILE

    @property
    def trials(self) -> Path:
        """A line for every setting that the search tried."""
        return self.model("tuned") / "trials.csv"

    @property
    def best_hyperparameters(self) -> Path:
        return self.model("tuned") / "best_params.json"

    # evaluate
    @property
    def metrics(self) -> Path:
        return self.root / "metrics"

    @property
    def scores(self) -> Path:
        return self.metrics / "evaluate.json"

    @property
    def per_class_scores(self) -> Path:
        return self.metrics / "per_class.csv"

    @property
    def comparisons(self) -> Path:
        return self.metrics / "comparisons.json"

    @property
    def references(self) -> Path:
        return self.metrics / "references.json"

    @property
    def predictions(self) -> Path:
        return self.metrics / "predictions"

    def predictions_of(self, name: str) -> Path:
        """Of a candidate or a reference."""
        return self.predictions / f"{name}.npz"

    @property
    def explanations(self) -> Path:
        return self.metrics / "explanations"

    def explanations_of(self, candidate: str) -> Path:
        """What its network looks at."""
        return self.explanations / f"{candidate}.npz"

    @property
    def plots(self) -> Path:
        return self.metrics / "plots"

    @property
    def best(self) -> Path:
        return self.root / "models" / "best.json"

    # report
    @property
    def report(self) -> Path:
        return self.metrics / "report"

    @property
    def report_page(self) -> Path:
        return self.report / "index.html"

    # what outlives a run and is not an output of DVC's
    @property
    def resume(self) -> Path:
        """Checkpoints and tuner state of trainings that have not ended yet."""
        return self.home / ".resume"

    @property
    def journal(self) -> Path:
        """What was recorded and not yet delivered to MLflow."""
        return self.home / ".journal"

    @property
    def downloads(self) -> Path:
        """Downloaded data sets, shared by all experiments."""
        return self.home / ".downloads"

    @property
    def exports(self) -> Path:
        """Exported models, `<name>/<version>/`, and the pointer to the published one."""
        return self.home / "exports"

    @property
    def compared_models(self) -> Path:
        """Pages about two models each."""
        return self.home / "comparisons"

    @property
    def explained_images(self) -> Path:
        """Pictures of images of people's own with heatmaps over them."""
        return self.home / "explanations"

    @property
    def tracking_database(self) -> Path:
        return self.home / "mlflow.db"

    @property
    def tracking_artifacts(self) -> Path:
        return self.home / "mlartifacts"

    def resolve_location(self, location: str) -> Path:
        """A path from params.yaml: absolute, or relative to the project (also in a queued experiment)."""
        return (self.home / Path(location).expanduser()).resolve()
