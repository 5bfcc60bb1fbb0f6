"""Which trainings `python -m pipeline runs` shows, and in which order."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.commands.terminal import suggestion
from pipeline.foundation.errors import PipelineError
from pipeline.tracking.runs.trainings import TrainingRun

WORKSPACE = "workspace"
"""Stands for the name of an experiment where there is none."""

_COLUMNS: dict[str, Callable[[TrainingRun], str | float | None]] = {
    "candidate": lambda run: run.candidate,
    "network": lambda run: run.network,
    "experiment": lambda run: run.experiment or WORKSPACE,
    "commit": lambda run: run.commit[:7],
    "status": lambda run: run.status.lower(),
    "restored": lambda run: str(run.restored).lower(),
    "started": lambda run: run.started.timestamp(),
    "duration": lambda run: run.duration_seconds,
    "images_per_second": lambda run: run.images_per_second,
    "validation_accuracy": lambda run: run.validation_accuracy,
    "test_accuracy": lambda run: run.test_accuracy,
}
"""What can be sorted and filtered by, beside metrics and params."""

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_SIZES = ("<=", ">=", "<", ">")
_CONDITION = re.compile(rf"\s*([^\s<>=!]+)\s*({'|'.join(_OPERATORS)})\s*([^<>=!].*?)\s*")


@dataclass(frozen=True)
class Query:
    """Which trainings to show, and in which order.

    Attributes:
      candidate: only this one.
      experiment: only this DVC experiment; `workspace` for none.
      conditions: texts such as `test_accuracy>0.9`, `lr=0.1`, `network!=dense`; all have to hold.
      sort: a column, metric or param; with a minus before it the highest comes first.
      limit: at most so many.
      unfinished: also those that failed, were killed or still run.
    """

    candidate: str | None = None
    experiment: str | None = None
    conditions: tuple[str, ...] = ()
    sort: str = "-started"
    limit: int | None = None
    unfinished: bool = False


def select(known: Sequence[TrainingRun], query: Query) -> list[TrainingRun]:
    """The trainings that fit, in order; `limit` is left to the caller.

    Raises PipelineError for what is not a condition, and for names that no run has.
    """
    conditions = [_parse_condition(text) for text in query.conditions]
    column = query.sort.removeprefix("-")
    _require_names([column, *(condition.name for condition in conditions)], known)
    _require_experiment(query.experiment, known)
    chosen = [
        run
        for run in known
        if (run.finished or query.unfinished)
        and query.candidate in (None, run.candidate)
        and query.experiment in (None, run.experiment or WORKSPACE)
        and all(condition.holds(run) for condition in conditions)
    ]
    return _sorted(chosen, column, descending=query.sort.startswith("-"))


def number_or_text(text: str) -> str | float:
    """A param's value as what it looks like; MLflow keeps all params as text."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


@dataclass(frozen=True)
class _Condition:
    name: str
    symbol: str
    text: str

    def holds(self, run: TrainingRun) -> bool:
        """Never for a run that has no such value."""
        found = _value(run, self.name)
        wanted = number_or_text(self.text) if isinstance(found, float) else self.text
        if found is None:
            return False
        if type(found) is type(wanted) and (isinstance(found, float) or self.symbol not in _SIZES):
            return _OPERATORS[self.symbol](found, wanted)
        return self.symbol == "!="


def _parse_condition(text: str) -> _Condition:
    parts = _CONDITION.fullmatch(text)
    if parts is None:
        raise PipelineError(
            f"'{text}' is not a condition.",
            expected="a name, one of = != < <= > >=, and a value, as in 'test_accuracy>0.9' or 'lr=0.1'",
            remedy="put it in quotes: < and > mean something to the shell",
        )
    condition = _Condition(*parts.groups())
    if condition.symbol in _SIZES and isinstance(number_or_text(condition.text), str):
        raise PipelineError(f"'{text}' compares sizes.", expected="a number", found=condition.text)
    return condition


def _sorted(runs: Sequence[TrainingRun], column: str, descending: bool) -> list[TrainingRun]:
    """By one value: numbers before texts, and runs without a value at the end in either direction."""
    numbers, texts, without = [], [], []
    for run in runs:
        value = _value(run, column)
        if isinstance(value, float):
            numbers.append((value, run))
        elif isinstance(value, str):
            texts.append((value, run))
        else:
            without.append(run)
    numbers.sort(key=lambda pair: pair[0], reverse=descending)
    texts.sort(key=lambda pair: pair[0], reverse=descending)
    return [*(run for _, run in numbers), *(run for _, run in texts), *without]


def _require_names(names: Iterable[str], known: Sequence[TrainingRun]) -> None:
    """Raises PipelineError for a name that is nothing of any run."""
    for name in names:
        if not known or name in _COLUMNS or any(_value(run, name) is not None for run in known):
            continue
        params = {param for run in known for param in run.params}
        metrics = {metric for run in known for metric in run.metrics}
        there = {*_COLUMNS, *metrics, *params, *(param.rpartition(".")[2] for param in params)}
        raise PipelineError(
            f"No run has '{name}'.",
            expected=f"{', '.join(_COLUMNS)}, a metric, or a param",
            remedy=f"{suggestion(name, there)}'python -m pipeline runs --json' shows all names",
        )


def _require_experiment(name: str | None, known: Sequence[TrainingRun]) -> None:
    there = {run.experiment or WORKSPACE for run in known}
    if name is not None and known and name not in there:
        raise PipelineError(
            f"No training belongs to an experiment '{name}'.",
            remedy=f"{suggestion(name, there)}'python -m pipeline runs' shows all names",
        )


def _value(run: TrainingRun, name: str) -> str | float | None:
    """A column, a metric or a param, which may be named without its section; None where the run has none.

    Raises PipelineError where a name without section fits several params.
    """
    if name in _COLUMNS:
        value = _COLUMNS[name](run)
        return None if value == "" else value
    if name in run.metrics:
        return float(run.metrics[name])
    if name in run.params:
        return number_or_text(run.params[name])
    full = [param for param in run.params if param.endswith(f".{name}")]
    if len(full) > 1:
        raise PipelineError(
            f"'{name}' is more than one param of {run.candidate}.", expected=f"one of {', '.join(full)}"
        )
    return number_or_text(run.params[full[0]]) if full else None
