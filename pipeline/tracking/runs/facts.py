"""What runs say in words and numbers, read from outputs: by it a run is known as the one that made them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.foundation.tracker import Run
from pipeline.foundation.workspace import CANDIDATES
from pipeline.repository.stage_outputs import EVALUATION, TRAININGS, StageOutputs
from pipeline.tracking import tags

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class RunFacts:
    """Params, tags and final metrics: the same for every run of a stage with the same outputs."""

    params: Mapping[str, Any]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]

    def record(self, run: Run) -> None:
        run.log_params(self.params)
        run.set_tags(self.tags)
        run.log_metrics(self.metrics)


def facts_of(outputs: StageOutputs, stage: str) -> RunFacts | None:
    """What a run of a stage says; None where the outputs cannot be read."""
    return training_facts(outputs, TRAININGS[stage]) if stage in TRAININGS else evaluation_facts(outputs)


def training_facts(outputs: StageOutputs, candidate: str) -> RunFacts | None:
    card = outputs.card(candidate)
    if card is None:
        return None
    return RunFacts(
        params=card["hyperparameters"],
        tags=model_tags(candidate, card["network"], card["model_digest"]),
        metrics={"parameters": card["parameters"]["total"], "forward_macs": card["forward_macs"]},
    )


def model_tags(candidate: str, network: str, model_digest: str) -> dict[str, str]:
    """What a model's card says of it in runs, in versions and in exports."""
    return {tags.CANDIDATE: candidate, tags.NETWORK: network, tags.MODEL_DIGEST: model_digest}


def evaluation_facts(outputs: StageOutputs) -> RunFacts | None:
    scores, best = outputs.scores, outputs.read_json(outputs.workspace.best)
    cards = {name: card for name in CANDIDATES if (card := outputs.card(name)) is not None}
    if scores is None or best is None or len(cards) < len(CANDIDATES):
        return None
    return RunFacts(
        params=outputs.params_of(EVALUATION),
        tags={tags.BEST_CANDIDATE: best["candidate"]}
        | {f"{tags.MODEL_DIGEST}.{name}": card["model_digest"] for name, card in cards.items()},
        metrics={
            f"{candidate}/{name}": value
            for candidate in scores
            for name, value in score_metrics(outputs, candidate).items()
        },
    )


def score_metrics(outputs: StageOutputs, candidate: str) -> dict[str, float]:
    """A candidate's scores as its training shows them, `<subset>_<score>`; none where it is not evaluated."""
    scores = (outputs.scores or {}).get(candidate, {})
    return {
        f"{subset}_{name}": value for subset, each in scores.items() for name, value in each.to_json().items()
    }


def required(value: _Value | None) -> _Value:
    """A part of outputs that nothing can be recorded without. Raises FileNotFoundError."""
    if value is None:
        raise FileNotFoundError("outputs of the stage are gone")
    return value
