"""`python -m pipeline runs`: all trainings in one table, and what chance does to them."""

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands.runs.key_params import ComparedParams, key_params
from pipeline.commands.runs.query import WORKSPACE, Query, number_or_text, select
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import WIDTH, say, say_aside
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.texts import shortened
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.params.whole import load_params
from pipeline.repository.repository import Repository
from pipeline.repository.stage_graph import read_stage_graph
from pipeline.tracking.runs.seed_groups import (
    SCORED_SUBSETS,
    SeedGroup,
    Spread,
    group_by_seed,
    pooled_deviation,
)
from pipeline.tracking.runs.trainings import TrainingRun, read_trainings
from pipeline.tracking.store import Store

_GAP = 2
"""Spaces between two columns, and the edges of the table together."""
_LONGEST_EXPERIMENT = 16
"""Characters of an experiment's name where params need the room."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--candidate", choices=CANDIDATES, help="only runs of this candidate")
    parser.add_argument("--experiment", metavar="NAME", help="only runs of this DVC experiment")
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help="only runs that satisfy it, such as 'test_accuracy>0.9' or 'lr=0.1'; may be repeated",
    )
    parser.add_argument(
        "--sort",
        metavar="COLUMN",
        default="-started",
        help="a leading minus: descending (default: %(default)s)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="show at most N runs")
    parser.add_argument("--all", action="store_true", help="also failed, killed and running ones")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Compare all trainings of all experiments: params, scores with intervals, speed.

    Runs that differ in nothing but their seed are also shown together, with mean and standard deviation.
    """
    bring_up_to_date(workspace, store, say_aside if options.json else say)
    query = Query(
        candidate=options.candidate,
        experiment=options.experiment,
        conditions=tuple(options.where),
        sort=options.sort,
        limit=options.limit,
        unfinished=options.all,
    )
    show_runs(workspace, store, query, as_json=options.json)


def show_runs(workspace: Workspace, store: Store, query: Query, as_json: bool = False) -> None:
    """Print the trainings that MLflow knows and, where there are several seeds of one setting, their spread.

    Raises:
      PipelineError: the query does not fit, or MLflow could not be reached.
    """
    if query.limit is not None and query.limit < 1:
        raise PipelineError("--limit takes a number of runs.", expected="1 or more", found=str(query.limit))
    graph = read_stage_graph(workspace.stages)
    known = read_trainings(store, load_params(workspace.params).tracking.experiment, graph)
    found = select(known, query)
    groups = group_by_seed(found, graph, Repository(workspace.root))
    shown = found[: query.limit]
    if as_json:
        print(json.dumps(_as_json(shown, groups), indent=2, ensure_ascii=False, allow_nan=False))
    elif shown:
        _print_tables(shown, groups, len(known))
    else:
        print(_nothing(known, query), flush=True)


def _nothing(known: Sequence[TrainingRun], query: Query) -> str:
    if not known:
        return "MLflow knows no training yet: 'make repro' or 'dvc exp run' makes the first ones."
    finished = sum(run.finished for run in known)
    if not finished and not query.unfinished:
        return f"No training has finished yet; --all shows the {_count(len(known), 'training')} that did not."
    return f"None of the {_count(len(known) if query.unfinished else finished, 'training')} fits."


# --- the tables -------------------------------------------------------------------------------------


def _print_tables(runs: Sequence[TrainingRun], groups: Sequence[SeedGroup], known: int) -> None:
    console = Console(width=WIDTH, highlight=False)
    console.print(_run_table(runs))
    left_out = f" of {known:,}" if len(runs) < known else ""
    console.print(
        f"{len(runs):,}{left_out} trainings; accuracy in %, with interval; "
        f"images/s of the last epoch{_legend(runs)}"
    )
    if groups:
        console.print()
        console.print(_seed_table(groups))
        for line in _judgment(groups):
            console.print(line)


def _legend(runs: Sequence[TrainingRun]) -> str:
    notes = []
    if any(run.dirty and run.commit for run in runs):
        notes.append("*: with uncommitted changes")
    if any(run.restored for run in runs):
        notes.append("restored: from DVC's run cache, not executed")
    return "".join(f"; {note}" for note in notes)


def _run_table(runs: Sequence[TrainingRun]) -> Table:
    params = key_params(
        {run.run_id: ComparedParams(run.candidate, run.declared or run.params, run.params) for run in runs}
    )
    names = [run.experiment or WORKSPACE for run in runs]
    others = [
        [
            run.candidate,
            f"{run.commit[:7]}{'*' if run.dirty and run.commit else ''}",
            _accuracy(run.validation_accuracy, run.interval("validation_accuracy")),
            _accuracy(run.test_accuracy, run.interval("test_accuracy")),
            _duration(run),
            "" if run.images_per_second is None else f"{run.images_per_second:.0f}",
        ]
        for run in runs
    ]
    titles = ["candidate", "commit", "validation", "test", "duration", "images\nper s"]
    # Names and params share what the other columns leave: names get what params can spare.
    room = WIDTH - _width([titles, *others]) - _GAP * 3
    wanted = max(each.wanted for each in params.values())
    longest = min(max(map(len, [*names, "experiment"])), max(_LONGEST_EXPERIMENT, room - wanted))
    rows = [
        [
            candidate,
            shortened(name, longest, cut="middle"),
            commit,
            params[run.run_id].within(room - longest),
            *figures,
        ]
        for run, name, (candidate, commit, *figures) in zip(runs, names, others, strict=True)
    ]
    return _table(["candidate", "experiment", "commit", "params", *titles[2:]], rows, flush_left=range(4))


def _seed_table(groups: Sequence[SeedGroup]) -> Table:
    params = key_params(
        {group.key: ComparedParams(group.candidate, group.params, group.params) for group in groups}
    )
    others = [
        [
            group.candidate,
            str(len(group.runs)),
            *(cell for subset in SCORED_SUBSETS for cell in _spread_cells(group.spread(subset))),
        ]
        for group in groups
    ]
    titles = ["over seeds", "seeds", "validation", "range", "test", "range"]
    room = WIDTH - _width([titles, *others]) - _GAP * 2
    rows = [[*cells, params[group.key].within(room)] for group, cells in zip(groups, others, strict=True)]
    return _table([*titles, "params"], rows, flush_left=(0, len(titles)))


def _width(rows: Sequence[Sequence[str]]) -> int:
    """How wide columns are together, with the gaps between them; titles may have several lines."""
    columns = [[line for cell in column for line in cell.split("\n")] for column in zip(*rows, strict=True)]
    return sum(max(map(len, column)) for column in columns) + _GAP * (len(columns) - 1)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], flush_left: Container[int]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    for index, title in enumerate(titles):
        table.add_column(title, justify="left" if index in flush_left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _accuracy(score: float | None, interval: tuple[float, float] | None) -> str:
    if score is None:
        return ""
    if interval is None:
        return f"{100 * score:.2f}"
    low, high = (f"{100 * end:.1f}".replace("100.0", "100") for end in interval)  # there is little room
    return f"{100 * score:.2f} [{low}, {high}]"


def _spread_cells(spread: Spread | None) -> tuple[str, str]:
    if spread is None:
        return "", ""
    return (
        f"{100 * spread.mean:.2f} ± {100 * spread.deviation:.2f}",
        f"{100 * spread.lowest:.2f} to {100 * spread.highest:.2f}",
    )


def _duration(run: TrainingRun) -> str:
    """How long it took; in a word, why that says nothing."""
    if not run.finished:
        return run.status.lower()
    if run.restored:
        return "restored"
    if run.duration_seconds is None:
        return ""
    seconds = round(run.duration_seconds)
    if seconds < 60:
        return f"{run.duration_seconds:.1f}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02}s"
    return f"{seconds // 3600}h {seconds % 3600 // 60:02}m"


def _judgment(groups: Sequence[SeedGroup]) -> list[str]:
    """What the spread over seeds says about differences between runs; no test, only a measure."""
    lines = ["mean ± standard deviation over the seeds (n - 1), in percent"]
    by_data: dict[str, list[SeedGroup]] = defaultdict(list)
    for group in groups:
        by_data[group.runs[0].data_digest].append(group)
    for digest, alike in by_data.items():
        for subset in reversed(SCORED_SUBSETS):
            pooled = pooled_deviation([spread for each in alike if (spread := each.spread(subset))])
            if pooled is not None:
                break
        else:
            continue
        apart = 100 * math.sqrt(2) * pooled.deviation
        data = f" on data {digest[:7]}" if len(by_data) > 1 else ""
        rough = "; a rough figure, from so few seeds" if pooled.degrees_of_freedom < 5 else ""
        lines.append(
            f"Two trainings{data} that differ in their seed alone are typically {apart:.2f} points of "
            f"{subset} accuracy apart (√2 x {100 * pooled.deviation:.2f}, pooled, "
            f"{_count(pooled.degrees_of_freedom, 'degree')} of freedom{rough})."
        )
        lines.append(
            f"Single runs less than twice that apart, {2 * apart:.2f} points, can well be a matter of luck; "
            "compare means over seeds."
        )
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


# --- JSON -------------------------------------------------------------------------------------------


def _as_json(runs: Sequence[TrainingRun], groups: Sequence[SeedGroup]) -> dict[str, Any]:
    return {"runs": [_run_json(run) for run in runs], "seeds": [_group_json(group) for group in groups]}


def _run_json(run: TrainingRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "page": run.page,
        "artifacts": run.artifacts,
        "model": run.model or None,
        "candidate": run.candidate,
        "network": run.network,
        "status": run.status,
        "restored": run.restored,
        "started": run.started.isoformat(timespec="seconds"),
        "experiment": run.experiment or None,
        "dvc_commit": run.dvc_commit or None,
        "git_commit": run.git_commit or None,
        "changes": None if run.changes is None else list(run.changes),
        "data_digest": run.data_digest,
        "model_digest": run.model_digest or None,
        "params": {name: number_or_text(value) for name, value in sorted(run.params.items())},
        "metrics": {name: _finite(value) for name, value in sorted(run.metrics.items())},
        "validation_accuracy": run.validation_accuracy,
    }


def _group_json(group: SeedGroup) -> dict[str, Any]:
    spreads = {subset: group.spread(subset) for subset in SCORED_SUBSETS}
    return {
        "candidate": group.candidate,
        "params": {name: number_or_text(value) for name, value in sorted(group.params.items())},
        "seeds": list(group.seeds),
        "run_ids": [run.run_id for run in group.runs],
        **{
            f"{subset}_accuracy": None if spread is None else asdict(spread)
            for subset, spread in spreads.items()
        },
    }


def _finite(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None
