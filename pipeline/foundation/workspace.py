"""Every path of the project, in one place."""

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import path_of

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

    While a stage runs, the files that it writes have their place elsewhere: `staged` names them, by their
    paths from `root`, and `staging` is where they are until all of them are written.
    """

    root: Path
    home: Path
    staged: frozenset[Path] = frozenset()
    staging: Path | None = None

    @classmethod
    def from_environment(cls) -> "Workspace":
        """The workspace of this process: the current folder, and $DVC_ROOT where DVC sets it."""
        root = Path.cwd().resolve()
        return cls(root=root, home=Path(os.environ.get("DVC_ROOT") or root).resolve())

    def _place(self, *parts: str) -> Path:
        """Where a file, or a folder of files, of the stages is."""
        path = Path(*parts)
        is_staged = any(path == file or path in file.parents for file in self.staged)
        return (self.staging if self.staging is not None and is_staged else self.root) / path

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
    def fetched(self) -> Path:
        return self._place("data", "fetched")

    @property
    def source(self) -> Path:
        """Where the images come from, and what became of them."""
        return self._place("data", "fetched", "source.json")

    @property
    def catalogue(self) -> Path:
        """A line for every image."""
        return self._place("data", "fetched", "catalogue.csv")

    @property
    def rejected(self) -> Path:
        """A line for every file that may have been meant and cannot be used."""
        return self._place("data", "fetched", "rejected.csv")

    @property
    def ignored(self) -> Path:
        """A line for every file that is not meant as an image."""
        return self._place("data", "fetched", "ignored.csv")

    @property
    def encoded_images(self) -> Path:
        return self._place("data", "fetched", "images.tar")

    # split
    @property
    def split(self) -> Path:
        return self._place("data", "split", "split.csv")

    @property
    def split_metrics(self) -> Path:
        return self._place("metrics", "split.json")

    # preprocess
    @property
    def arrays(self) -> Path:
        return self._place("data", "arrays")

    def subset(self, name: str) -> Path:
        """images.npy, labels.npy and ids.npy of one of SUBSETS."""
        return self._place("data", "arrays", name)

    @property
    def preprocessing(self) -> Path:
        return self._place("data", "arrays", "preprocessing.json")

    @property
    def statistics(self) -> Path:
        """Mean and deviation of every channel."""
        return self._place("data", "arrays", "statistics.json")

    # train_baseline, train_transfer, tune
    def model(self, candidate: str) -> Path:
        """The folder of a trained candidate."""
        return self._place("models", candidate)

    def network(self, candidate: str) -> Path:
        return self._place("models", candidate, NETWORK_FILE)

    def card(self, candidate: str) -> Path:
        """What is known about a trained candidate."""
        return self._place("models", candidate, CARD_FILE)

    def history(self, candidate: str) -> Path:
        """A line for every epoch."""
        return self._place("models", candidate, HISTORY_FILE)

    @property
    def trials(self) -> Path:
        """A line for every setting that the search tried."""
        return self._place("models", "tuned", "trials.csv")

    @property
    def best_hyperparameters(self) -> Path:
        return self._place("models", "tuned", "best_params.json")

    @property
    def confirmation(self) -> Path:
        """A line for every full training of the setting that was found, and of the given one."""
        return self._place("models", "tuned", "confirmation.csv")

    # evaluate
    @property
    def scores(self) -> Path:
        return self._place("metrics", "evaluate.json")

    @property
    def per_class_scores(self) -> Path:
        return self._place("metrics", "per_class.csv")

    @property
    def comparisons(self) -> Path:
        return self._place("metrics", "comparisons.json")

    @property
    def references(self) -> Path:
        return self._place("metrics", "references.json")

    @property
    def predictions(self) -> Path:
        return self._place("metrics", "predictions")

    def predictions_of(self, name: str) -> Path:
        """Of a candidate or a reference."""
        return self._place("metrics", "predictions", f"{name}.npz")

    @property
    def explanations(self) -> Path:
        return self._place("metrics", "explanations")

    def explanations_of(self, candidate: str) -> Path:
        """What its network looks at."""
        return self._place("metrics", "explanations", f"{candidate}.npz")

    @property
    def plots(self) -> Path:
        return self._place("metrics", "plots")

    @property
    def best(self) -> Path:
        return self._place("models", "best.json")

    # report
    @property
    def report(self) -> Path:
        return self._place("metrics", "report")

    @property
    def report_page(self) -> Path:
        return self._place("metrics", "report", "index.html")

    @property
    def report_paper(self) -> Path:
        return self._place("metrics", "report", "report.pdf")

    @property
    def report_slides(self) -> Path:
        return self._place("metrics", "report", "slides.pptx")

    @property
    def report_figures(self) -> Path:
        """Its figures as PNG files: a zip, as DVC empties a folder that is an output."""
        return self._place("metrics", "report", "figures.zip")

    def unfinished(self, stage: str) -> Path:
        """Where the outputs of a stage are while it runs."""
        return self.root / ".unfinished" / stage

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
    def features(self) -> Path:
        """What frozen backbones have made of images, for all experiments; may be deleted at any time."""
        return self.home / ".features"

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

    def is_writable(self) -> bool:
        """Whether anything can be written here at all; a project may be looked at from a read-only disk."""
        return os.access(self.home, os.W_OK)

    @property
    def tracking_database(self) -> Path:
        return self.home / "mlflow.db"

    @property
    def tracking_artifacts(self) -> Path:
        return self.home / "mlartifacts"

    def resolve_location(self, location: str) -> Path:
        """A path from params.yaml: absolute, or relative to the project (also in a queued experiment).

        Raises PipelineError where the stages write below it: each run would find other files there.
        """
        path = (self.home / path_of(location)).resolve()
        written = [self.home / "data" / name for name in ("fetched", "split", "arrays")]
        written += [self.home / "models" / name for name in CANDIDATES]
        for folder in written:
            if folder.resolve().is_relative_to(path):
                raise PipelineError(
                    f"{path} holds what the pipeline itself writes.",
                    expected="fetch.location: a folder with images alone, such as data/raw",
                    found=str(folder),
                    remedy="move the folders of the classes into one of their own, and name that",
                )
        return path
