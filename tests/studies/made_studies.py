"""Studies and their results, made by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.studies.cells import DONE, FAILED, OPEN, Cell
from pipeline.studies.study import Study

BROKE_OFF = "train: the loss is no longer finite in epoch 1."


def made_study(settings: Sequence[str], seeds: Sequence[int], **changes: Any) -> Study:
    """The first setting is the reference, and each sets a batch size of its own."""
    values: dict[str, Any] = {
        "title": "Batch size",
        "question": "Which batch size?",
        "candidate": "baseline",
        "base": {"lr": 0.1, "split.train_limit": None},
        "reference": settings[0],
        "settings": {name: {"batch_size": 2**place} for place, name in enumerate(settings)},
        "seeds": list(seeds),
        "budget_minutes": None,
    }
    return Study.model_validate({**values, **changes})


def made_cells(
    scores: Mapping[str, Sequence[float | str]], seconds: Mapping[str, float] | None = None
) -> list[Cell]:
    """A cell for each score, under the seeds 0, 1, ...; a text is the status of one that has none.

    `seconds` are those of each training of a setting, 10 where it is not named.
    """
    return [
        made_cell(name, seed, score, (seconds or {}).get(name, 10.0))
        for name, values in scores.items()
        for seed, score in enumerate(values)
    ]


def made_cell(setting: str, seed: int, score: float | str, seconds: float = 10.0) -> Cell:
    cell = Cell(
        setting=setting,
        seed=seed,
        status=OPEN,
        experiment=f"baseline-seed-{seed}-{setting}",
        threads=2,
    )
    if isinstance(score, str):
        assert score in (OPEN, FAILED)
        return replace(cell, status=score, reason=BROKE_OFF if score == FAILED else "")
    return replace(
        cell,
        status=DONE,
        validation_accuracy=score,
        validation_loss=1.0 - score,
        epochs=15,
        seconds=seconds + seed,
        images_per_second=1234.4,
        parameters=295_968,
    )
