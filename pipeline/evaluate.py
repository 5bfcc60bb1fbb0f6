"""Score every candidate: data/arrays, models -> metrics/, models/best.json."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.execution.stage import run_stage
from pipeline.explanation.explaining import explain_candidates
from pipeline.foundation.digests import digest_json
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_json, write_text
from pipeline.foundation.tracker import Run, Tracker
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.images.arrays import ImageArrays, arrays_digest
from pipeline.inference.model_card import ModelCard
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.params.base import NonNegativeInt, PositiveInt, Section
from pipeline.params.evaluate import EvaluateParams
from pipeline.reporting.house_style import save_figure
from pipeline.reporting.topics.explanations.heatmaps import heatmaps_figure
from pipeline.reporting.topics.mistakes.figures import confusion_matrix_figure
from pipeline.scoring.evaluation import (
    Evaluation,
    calibration_csv,
    classification_report_text,
    compare_all,
    confusion_csv,
    evaluate_predictions,
    outcomes_csv,
    per_class_csv,
    summary_table,
)
from pipeline.scoring.predictions import Predictions, require_finite, save_predictions
from pipeline.scoring.references import logistic_regression, majority_class
from pipeline.scoring.selection import Contender, choose_best
from pipeline.training.trained_model import TrainedModel

SCORED_SUBSETS = ("validation", "test")


class Config(Section):
    seed: NonNegativeInt
    threads: PositiveInt
    evaluate: EvaluateParams


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    class_names = PreprocessingSpec.load(workspace.arrays / "preprocessing.json").classes
    models = {name: TrainedModel.load(workspace.model(name)) for name in CANDIDATES}
    for name, model in models.items():
        _require_classes(name, model.card, class_names)
    digests = {name: model.card.model_digest for name, model in models.items()}
    data_digest = arrays_digest([workspace.arrays / name for name in SCORED_SUBSETS])
    key = digest_json([data_digest, digests, config.model_dump(mode="json")])
    with tracker.run("evaluate", key) as comparison:
        train = ImageArrays.load(workspace.arrays / "train")
        subsets = {name: ImageArrays.load(workspace.arrays / name) for name in SCORED_SUBSETS}
        comparison.log_params(config.model_dump(mode="json"))
        comparison.log_dataset("evaluation", data_digest, {name: len(each) for name, each in subsets.items()})
        evaluations = {
            name: evaluate_predictions(
                _predict(name, model, subsets, config.evaluate.batch_size), config.evaluate, config.seed
            )
            for name, model in models.items()
        }
        references = _references(train, subsets, len(class_names), config)
        best = choose_best(
            [_contender(name, model.card, evaluations[name]) for name, model in models.items()]
        )
        test_images = subsets["test"].images
        explanations = explain_candidates(
            {name: model.network for name, model in models.items()},
            {name: evaluation.predictions["test"] for name, evaluation in evaluations.items()},
            test_images,
            config.evaluate,
            config.seed,
        )
        _save(workspace, evaluations, class_names)
        for name, explanation in explanations.items():
            explanation.save(workspace.explanations / f"{name}.npz")
        for name, reference in references.items():  # promotion compares a first model with them
            save_predictions(workspace.predictions / f"{name}.npz", reference.predictions)
        write_json(workspace.comparisons, compare_all(evaluations, config.evaluate, config.seed))
        write_json(workspace.references, {name: each.to_json() for name, each in references.items()})
        write_json(workspace.best, best.to_json())
        print(summary_table({**evaluations, **references}, best.candidate), flush=True)

        comparison.set_tags(
            {"best_candidate": best.candidate}
            | {f"model_digest.{name}": digest for name, digest in digests.items()}
        )
        _record_comparison(comparison, workspace, evaluations)
        for name, evaluation in evaluations.items():
            with tracker.run_of_model(digests[name]) as training:
                _record_figures(name, evaluation, class_names, training, comparison)
                predicted, title = evaluation.predictions["test"], f"{name}: what it looks at"
                heatmaps = heatmaps_figure(test_images, predicted, explanations[name], class_names, title)
                picture = workspace.explanations / f"heatmaps_{name}.png"
                _record_picture(heatmaps, picture, training, comparison)


def _predict(
    candidate: str, model: TrainedModel, subsets: Mapping[str, ImageArrays], batch_size: int
) -> dict[str, Predictions]:
    predictions = {}
    for name, subset in subsets.items():
        print(f"evaluate: {candidate} on {len(subset):,} {name} images", flush=True)
        probabilities = require_finite(model.predict(subset.images, batch_size), f"models/{candidate}")
        predictions[name] = Predictions(probabilities, subset.labels, subset.ids)
    return predictions


def _references(
    train: ImageArrays, subsets: Mapping[str, ImageArrays], num_classes: int, config: Config
) -> dict[str, Evaluation]:
    print("evaluate: references (majority class, logistic regression)", flush=True)
    predictions = {
        "majority_class": {
            name: majority_class(train.labels, subset, num_classes) for name, subset in subsets.items()
        },
        "logistic_regression": logistic_regression(train, subsets, num_classes, config.seed),
    }
    return {
        name: evaluate_predictions(each, config.evaluate, config.seed) for name, each in predictions.items()
    }


def _contender(candidate: str, card: ModelCard, evaluation: Evaluation) -> Contender:
    validation = evaluation.scores["validation"]
    return Contender(
        candidate=candidate,
        model_digest=card.model_digest,
        parameters=card.parameters["total"],
        validation_accuracy=validation.accuracy,
        validation_log_loss=validation.log_loss,
    )


def _require_classes(candidate: str, card: ModelCard, class_names: Sequence[str]) -> None:
    known = card.preprocessing.classes
    if list(known) != list(class_names):
        raise PipelineError(
            f"models/{candidate} was trained on other classes than those in data/arrays.",
            expected=", ".join(class_names),
            found=", ".join(known),
            remedy="run 'dvc repro', which trains it again",
        )


def _save(workspace: Workspace, evaluations: Mapping[str, Evaluation], class_names: Sequence[str]) -> None:
    for candidate, evaluation in evaluations.items():
        save_predictions(workspace.predictions / f"{candidate}.npz", evaluation.predictions)
        outcomes = outcomes_csv(evaluation.predictions["test"], class_names)
        write_text(workspace.plots / f"confusion_{candidate}.csv", outcomes)
        calibration = calibration_csv(evaluation.scores["test"].calibration)
        write_text(workspace.plots / f"calibration_{candidate}.csv", calibration)
    write_text(workspace.per_class_scores, per_class_csv(evaluations, class_names))
    write_json(workspace.scores, {name: evaluation.to_json() for name, evaluation in evaluations.items()})


def _record_comparison(run: Run, workspace: Workspace, evaluations: Mapping[str, Evaluation]) -> None:
    for name, evaluation in evaluations.items():
        run.log_metrics({f"{name}/{metric}": value for metric, value in _metrics(evaluation).items()})
    run.log_artifact(workspace.scores)
    run.log_artifact(workspace.per_class_scores)
    run.log_artifact(workspace.comparisons)
    run.log_artifact(workspace.references)


def _record_figures(
    candidate: str, evaluation: Evaluation, class_names: Sequence[str], training: Run, comparison: Run
) -> None:
    """Add a model's scores to the run that trained it, and its confusion matrix to both runs."""
    confusion = evaluation.scores["test"].confusion
    figure = confusion_matrix_figure(confusion, class_names, f"{candidate}: test subset")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / f"confusion_matrix_{candidate}.png"
        _record_picture(figure, picture, training, comparison)
    report = classification_report_text(evaluation.predictions["test"], class_names)
    training.log_metrics(_metrics(evaluation))
    training.log_text(confusion_csv(confusion, class_names), "evaluation/confusion_matrix.csv")
    training.log_text(report, "evaluation/classification_report.txt")


def _record_picture(figure: Figure, picture: Path, *runs: Run) -> None:
    save_figure(figure, picture)
    for run in runs:
        run.log_artifact(picture, "evaluation")


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    return {
        f"{subset}_{name}": value
        for subset, scores in evaluation.to_json().items()
        for name, value in scores.items()
    }


if __name__ == "__main__":
    run_stage("evaluate", run, Config)
