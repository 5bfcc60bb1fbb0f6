"""What an evaluation that has ended tells its own run, and the runs that trained the candidates."""

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.foundation.tracker import Run
from pipeline.images.arrays import ImageArrays, arrays_digest
from pipeline.reporting.house_style import save_figure
from pipeline.reporting.topics.explanations.heatmaps import heatmaps_figure
from pipeline.reporting.topics.mistakes.figures import confusion_matrix_figure
from pipeline.repository.stage_outputs import StageOutputs
from pipeline.scoring.evaluation import classification_report_text, confusion_csv
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.predictions import Predictions, load_predictions
from pipeline.scoring.scores import confusion_matrix
from pipeline.tracking.runs.facts import evaluation_facts, required, score_metrics

_FOLDER = "evaluation"


class FinishedEvaluation:
    """An evaluation by its outputs. Of those that are gone nothing is said, and nothing is drawn."""

    def __init__(self, outputs: StageOutputs, folder: Path) -> None:
        """Pictures are drawn into `folder`, each of them once."""
        self._outputs = outputs
        self._folder = folder
        self._pictures: dict[str, list[Path]] = {}

    def record(self, run: Run) -> None:
        """Tell the evaluation's own run. Raises FileNotFoundError where there is nothing to tell."""
        workspace, scores = self._outputs.workspace, required(self._outputs.scores)
        required(evaluation_facts(self._outputs)).record(run)
        sizes = {subset: each.images for subset, each in next(iter(scores.values())).items()}
        arrays = [self._outputs.find(workspace.subset(subset)) for subset in sizes]
        if None not in arrays:
            run.log_dataset("evaluation", arrays_digest([required(folder) for folder in arrays]), sizes)
        tables = workspace.scores, workspace.per_class_scores, workspace.comparisons, workspace.references
        for file in filter(None, map(self._outputs.find, tables)):
            run.log_artifact(file)
        for candidate in scores:
            self._record_pictures(run, candidate)

    def record_scores(self, run: Run, candidate: str) -> None:
        """Tell the run that trained a candidate how good it is."""
        run.log_metrics(score_metrics(self._outputs, candidate))
        test, class_names = self._predictions(candidate), self._class_names(candidate)
        if test is not None:
            table = confusion_csv(confusion_matrix(test), class_names)
            run.log_text(table, f"{_FOLDER}/confusion_matrix.csv")
            report = classification_report_text(test, class_names)
            run.log_text(report, f"{_FOLDER}/classification_report.txt")
        self._record_pictures(run, candidate)

    def _record_pictures(self, run: Run, candidate: str) -> None:
        if candidate not in self._pictures:
            self._pictures[candidate] = list(self._draw(candidate))
        for picture in self._pictures[candidate]:
            run.log_artifact(picture, _FOLDER)

    def _draw(self, candidate: str) -> Iterator[Path]:
        """The confusion matrix; and heatmaps, where the images of the test subset are there."""
        test, class_names = self._predictions(candidate), self._class_names(candidate)
        if test is None:
            return
        confusion = confusion_matrix_figure(confusion_matrix(test), class_names, f"{candidate}: test subset")
        yield self._saved(confusion, f"confusion_matrix_{candidate}.png")
        workspace = self._outputs.workspace
        explanations = self._outputs.find(workspace.explanations_of(candidate))
        images = self._outputs.find(workspace.subset("test")) if explanations is not None else None
        if explanations is not None and images is not None:
            heatmaps = heatmaps_figure(
                ImageArrays.load(images).images,
                test,
                Explanations.load(explanations),
                class_names,
                f"{candidate}: what it looks at",
            )
            yield self._saved(heatmaps, f"heatmaps_{candidate}.png")

    def _saved(self, figure: Figure, name: str) -> Path:
        save_figure(figure, self._folder / name)
        return self._folder / name

    def _predictions(self, candidate: str) -> Predictions | None:
        """Those of the test subset."""
        file = self._outputs.find(self._outputs.workspace.predictions_of(candidate))
        return None if file is None else load_predictions(file)["test"]

    def _class_names(self, candidate: str) -> list[str]:
        return list(required(self._outputs.card(candidate))["preprocessing"]["classes"])
