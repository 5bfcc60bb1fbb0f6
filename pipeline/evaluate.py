"""Score every candidate: data/arrays, models -> metrics/, models/best.json."""

from collections.abc import Mapping, Sequence

from pipeline.execution.stage import run_stage
from pipeline.explanation.candidates import explain_candidates
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_json, write_text
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.images.arrays import ImageArrays
from pipeline.inference.model_card import ModelCard
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.params.base import PositiveInt, Section, Seed
from pipeline.params.evaluate import EvaluateParams
from pipeline.scoring.choice import ScoredCandidate, choose_best
from pipeline.scoring.evaluation import (
    Evaluation,
    calibration_csv,
    compare_all,
    evaluate_predictions,
    outcomes_csv,
    per_class_csv,
    summary_table,
)
from pipeline.scoring.paired import save_comparisons
from pipeline.scoring.predictions import Predictions, require_finite, save_predictions
from pipeline.scoring.references import logistic_regression, majority_class
from pipeline.scoring.scores import save_scores
from pipeline.training.trained_model import TrainedModel


class Config(Section):
    seed: Seed
    threads: PositiveInt
    evaluate: EvaluateParams


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    class_names = PreprocessingSpec.load(workspace.preprocessing).classes
    models = {name: TrainedModel.load(workspace.model(name)) for name in CANDIDATES}
    for name, model in models.items():
        _require_classes(name, model.card, class_names)
    train = ImageArrays.load(workspace.subset("train"))
    subsets = {name: ImageArrays.load(workspace.subset(name)) for name in ("validation", "test")}
    # A search that keeps the given setting ends with the network of another candidate, to the byte.
    same_as = {name: _first_equal(model, models) for name, model in models.items()}
    distinct = {name: model for name, model in models.items() if same_as[name] == name}
    of_distinct = {
        name: evaluate_predictions(
            _predict(name, model, subsets, config.evaluate.batch_size), config.evaluate, config.seed
        )
        for name, model in distinct.items()
    }
    evaluations = {name: of_distinct[equal] for name, equal in same_as.items()}
    references = _references(train, subsets, len(class_names), config)
    best = choose_best([_scored(name, model.card, evaluations[name]) for name, model in models.items()])
    explanations = explain_candidates(
        {name: model.network for name, model in distinct.items()},
        {name: evaluation.predictions["test"] for name, evaluation in of_distinct.items()},
        subsets["test"].images,
        config.evaluate,
        config.seed,
    )
    _save(workspace, evaluations, class_names)
    for name, equal in same_as.items():
        explanations[equal].save(workspace.explanations_of(name))
    for name, reference in references.items():  # promotion compares a first model with them
        save_predictions(workspace.predictions_of(name), reference.predictions)
    save_comparisons(workspace.comparisons, compare_all(evaluations, config.evaluate, config.seed))
    save_scores(workspace.references, {name: each.scores for name, each in references.items()})
    write_json(workspace.best, best.to_json())
    print(summary_table({**evaluations, **references}, best.candidate), flush=True)


def _first_equal(model: TrainedModel, models: Mapping[str, TrainedModel]) -> str:
    digest = model.card.model_digest
    return next(name for name, other in models.items() if other.card.model_digest == digest)


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


def _scored(candidate: str, card: ModelCard, evaluation: Evaluation) -> ScoredCandidate:
    validation = evaluation.scores["validation"]
    return ScoredCandidate(
        candidate=candidate,
        model_digest=card.model_digest,
        parameters=card.parameters.total,
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
        save_predictions(workspace.predictions_of(candidate), evaluation.predictions)
        outcomes = outcomes_csv(evaluation.predictions["test"], class_names)
        write_text(workspace.plots / f"confusion_{candidate}.csv", outcomes)
        calibration = calibration_csv(evaluation.scores["test"].calibration)
        write_text(workspace.plots / f"calibration_{candidate}.csv", calibration)
    write_text(workspace.per_class_scores, per_class_csv(evaluations, class_names))
    save_scores(workspace.scores, {name: evaluation.scores for name, evaluation in evaluations.items()})


if __name__ == "__main__":
    run_stage("evaluate", run, Config)
