"""What a study has found out: a summary of each setting, and which one to use by one fixed rule."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from pipeline.scoring.repetitions import (
    Estimate,
    PairedDifference,
    estimate,
    holm,
    paired_difference,
    smallest_difference_to_show,
)
from pipeline.studies.cells import DONE, FAILED, OPEN, Cell
from pipeline.studies.study import Study

CONFIDENCE = 0.95
LEVEL = 1.0 - CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class SettingResult:
    """One setting over its seeds.

    Attributes:
      name: of the setting.
      cells: in the order of the study's seeds.
      estimate: of the validation accuracy; None with fewer than two results.
      difference: to the reference, over the seeds that both have a result for; None for the reference itself
        and with fewer than two such seeds.
      corrected_p: of that difference, by Holm's method over all settings but the reference; None where
        nothing was tested.
    """

    name: str
    cells: tuple[Cell, ...]
    estimate: Estimate | None
    difference: PairedDifference | None
    corrected_p: float | None

    @property
    def done(self) -> list[Cell]:
        return _with_status(self.cells, DONE)

    @property
    def failed(self) -> list[Cell]:
        return _with_status(self.cells, FAILED)

    @property
    def complete(self) -> bool:
        """Whether every seed has a result; a mean without those that diverged would be too good."""
        return len(self.done) == len(self.cells)

    @property
    def mean(self) -> float | None:
        """Of the validation accuracy, also of a single seed; None without any."""
        scores = [cell.score for cell in self.done]
        return statistics.mean(scores) if scores else None

    @property
    def seconds(self) -> float | None:
        """Median of the trainings that were executed; None without any."""
        return _median(cell.seconds for cell in self.done)

    @property
    def core_seconds(self) -> float | None:
        """Median of threads times seconds: at most so much of the processor was used."""
        return _median(cell.core_seconds for cell in self.done)

    @property
    def images_per_second(self) -> float | None:
        return _median(cell.images_per_second for cell in self.done)

    @property
    def parameters(self) -> float | None:
        """Median, as a search may find another network under each seed."""
        return _median(cell.parameters for cell in self.done)

    @property
    def is_better(self) -> bool:
        """Whether it is better than the reference by more than chance explains, under all seeds."""
        return self.complete and self._is_significant(+1)

    @property
    def is_worse(self) -> bool:
        return self.complete and self._is_significant(-1)

    def _is_significant(self, sign: int) -> bool:
        if self.difference is None or self.corrected_p is None:
            return False
        return sign * self.difference.estimate.mean > 0 and self.corrected_p < LEVEL


class Verdict(Enum):
    """What the rule comes to."""

    BETTER = "a setting is better than the reference"
    REFERENCE = "none is better than the reference"
    REFERENCE_FAILED = "the reference has failed under some seed"
    REFERENCE_OPEN = "the reference was not run under all seeds yet"


@dataclass(frozen=True)
class Analysis:
    """All settings, and which one to use.

    Attributes:
      study: what was asked.
      settings: their results, in the order of the study's file.
      verdict: what the rule comes to.
      recommended: the setting to use; None where the reference has no result to compare with.
    """

    study: Study
    settings: tuple[SettingResult, ...]
    verdict: Verdict
    recommended: SettingResult | None

    @property
    def reference(self) -> SettingResult:
        return next(each for each in self.settings if each.name == self.study.reference)

    @property
    def others(self) -> list[SettingResult]:
        return [each for each in self.settings if each.name != self.study.reference]

    @property
    def cells(self) -> list[Cell]:
        return [cell for setting in self.settings for cell in setting.cells]

    @property
    def open(self) -> list[Cell]:
        """What was not run yet; until it is, a verdict may change."""
        return _with_status(self.cells, OPEN)

    @property
    def hardest_step(self) -> float | None:
        """The mean difference that Holm's first step asks for, a share of 1; None where nothing is known.

        Of the settings that may be recommended: those that have a result under every seed.
        """
        complete = [each for each in self.others if each.complete and self.reference.complete]
        differences = [each.difference.estimate for each in complete if each.difference is not None]
        return smallest_difference_to_show(differences, len(self.others), LEVEL)


def analyse(study: Study, cells: Sequence[Cell]) -> Analysis:
    """Summarize and compare; `cells` has one for each setting and seed."""
    by_setting = {name: _in_order(study, name, cells) for name in study.settings}
    reference = by_setting[study.reference]
    differences = {
        name: _difference(own, reference) for name, own in by_setting.items() if name != study.reference
    }
    corrected = holm([None if each is None else each.p_value for each in differences.values()])
    p_values = dict(zip(differences, corrected, strict=True))
    settings = tuple(
        SettingResult(
            name=name,
            cells=own,
            estimate=_estimate(own),
            difference=differences.get(name),
            corrected_p=p_values.get(name),
        )
        for name, own in by_setting.items()
    )
    return _judged(study, settings)


def _judged(study: Study, settings: tuple[SettingResult, ...]) -> Analysis:
    """The rule.

    Of the settings that are better than the reference by more than chance explains (Holm-corrected p below
    LEVEL, a result under every seed) the one with the highest mean; the reference where there is none.
    """
    reference = next(each for each in settings if each.name == study.reference)
    if reference.failed:
        return Analysis(study, settings, Verdict.REFERENCE_FAILED, None)
    if not reference.complete:
        return Analysis(study, settings, Verdict.REFERENCE_OPEN, None)
    better = [each for each in settings if each.is_better]
    if not better:
        return Analysis(study, settings, Verdict.REFERENCE, reference)
    return Analysis(study, settings, Verdict.BETTER, max(better, key=lambda each: each.mean or 0.0))


def _in_order(study: Study, setting: str, cells: Sequence[Cell]) -> tuple[Cell, ...]:
    own = {cell.seed: cell for cell in cells if cell.setting == setting}
    return tuple(own[seed] for seed in study.seeds)


def _estimate(cells: Sequence[Cell]) -> Estimate | None:
    scores = [cell.score for cell in _with_status(cells, DONE)]
    return estimate(np.array(scores), CONFIDENCE) if len(scores) > 1 else None


def _difference(cells: Sequence[Cell], reference: Sequence[Cell]) -> PairedDifference | None:
    """Over the seeds under which both have a result."""
    pairs = [
        (own.score, other.score)
        for own, other in zip(cells, reference, strict=True)
        if own.status == other.status == DONE
    ]
    if len(pairs) < 2:
        return None
    first, second = np.array(pairs).T
    return paired_difference(first, second, CONFIDENCE)


def _with_status(cells: Iterable[Cell], status: str) -> list[Cell]:
    return [cell for cell in cells if cell.status == status]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
