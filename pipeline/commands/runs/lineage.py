"""`python -m pipeline lineage`: the chain behind a model, or what a commit or experiment has made."""

import argparse
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipeline.commands.addresses.address import add_address
from pipeline.commands.addresses.finding import Finder
from pipeline.commands.addresses.lineages import lineage_of_address
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import say, say_aside
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.lineage.values import Lineage, ModelLineage, RevisionLineage, RunSummary
from pipeline.tracking.store import Store

_WIDTH = 100
"""Columns; fixed, so that the text is the same in a terminal, a pipe and a log."""
_LABEL_WIDTH = 14
_MOST_NAMED = 3
_UNKNOWN = "not known"

_LabeledLines = tuple[str, list[str]]
"""A label, and the lines beside it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_address(parser, "model", metavar="MODEL", role="a model, a run, or a revision with all its models")
    parser.add_argument("--json", action="store_true", help="JSON instead of text")


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Where a model comes from, with the commands that bring it back; or what a commit or experiment made."""
    bring_up_to_date(workspace, store, say_aside if options.json else say)
    with Finder(workspace, store) as finder:
        show_lineage(lineage_of_address(finder, options.model), as_json=options.json)


def show_lineage(lineage: Lineage, as_json: bool = False) -> None:
    """Print the lineage of a model, run, commit or experiment."""
    if as_json:
        print(json.dumps(asdict(lineage), indent=2, ensure_ascii=False))
    elif isinstance(lineage, ModelLineage):
        print("\n".join(_model_lines(lineage)))
    else:
        _print_revision(lineage)


def _model_lines(lineage: ModelLineage) -> Iterator[str]:
    yield from _aligned(_model_rows(lineage))
    yield ""
    if lineage.recovery.commands:
        yield from textwrap.wrap(f"To bring it back ({lineage.recovery.reason}):", _WIDTH)
        yield from (f"    {command}" for command in lineage.recovery.commands)
    else:
        yield from textwrap.wrap(f"No command brings it back: {lineage.recovery.reason}.", _WIDTH)


def _model_rows(lineage: ModelLineage) -> Iterator[_LabeledLines]:
    yield "model", [lineage.model_digest or _UNKNOWN]
    network = f", network {lineage.network}" if lineage.network else ""
    yield "candidate", [f"{lineage.candidate}{network}, made by the stage {lineage.stage}"]
    yield "run", _run_lines(lineage)
    if lineage.parent_run:
        yield "parent run", [f"{lineage.parent_run.run_id} {lineage.parent_run.name}"]
    yield "params", _param_lines(lineage)
    yield "code", _code_lines(lineage)
    if lineage.experiment:
        commit = (
            f"commit {lineage.experiment.commit[:7]}" if lineage.experiment.commit else "commit not known"
        )
        yield (
            "experiment",
            [f"{lineage.experiment.name}, {commit}, on top of {lineage.experiment.baseline[:7]}"],
        )
    if lineage.dvc_hash:
        yield "DVC's hash", [f"{lineage.dvc_hash} (of the folder, in dvc.lock)"]
    yield "data", _data_lines(lineage)
    yield "environment", [_or_unknown(lineage.environment_digest, " (requirements.lock)"), _versions(lineage)]
    yield "machine", [_machine(lineage.machine)]
    yield "scores", _score_lines(lineage.scores)
    yield "registered", [str(version) for version in lineage.registered] or ["no"]


def _run_lines(lineage: ModelLineage) -> list[str]:
    if lineage.run is None:
        return ["MLflow no longer has it; this is what the model version repeats of it"]
    lines = [f"{lineage.run.run_id} {_run_state(lineage.run)}"]
    if lineage.run.restored:
        origin = f"what run {lineage.run.restored_from} had made" if lineage.run.restored_from else "it"
        lines.append(f"nothing was executed: DVC restored {origin}")
    for same in lineage.same_model[:_MOST_NAMED]:
        how = "restored" if same.restored else "made again"
        lines.append(f"same bytes {how} by run {same.run_id} ({same.started})")
    more = len(lineage.same_model) - _MOST_NAMED
    return lines + ([f"and by {more} more runs: see --json"] if more > 0 else [])


def _run_state(run: RunSummary) -> str:
    took = f", {run.seconds:.0f} s" if run.seconds is not None else ""
    return f"{run.name}, {run.status} ({run.started} UTC{took})"


def _param_lines(lineage: ModelLineage) -> list[str]:
    where = f"all {len(lineage.params)}: --json, or the run in MLflow"
    if not lineage.params:
        return ["not recorded in full: the run of the whole experiment is missing"]
    if lineage.changed_params is None:
        return [f"params.yaml of the commit is not here to compare with; {where}"]
    commit = lineage.params_commit[:7]
    if not lineage.changed_params:
        return [f"as in params.yaml of {commit}; {where}"]
    changes = ", ".join(str(change) for change in lineage.changed_params)
    return [changes, f"(in brackets: params.yaml of {commit}, which has the others); {where}"]


def _code_lines(lineage: ModelLineage) -> list[str]:
    if not lineage.git_commit:
        return ["outside of a git repository"]
    lines = [f"commit {lineage.git_title}"]
    if lineage.git_changes is None:
        lines.append("whether there were uncommitted changes, or which, is not known")
    elif lineage.git_changes:
        lines.append(f"with uncommitted changes in {', '.join(lineage.git_changes)}")
    return lines


def _data_lines(lineage: ModelLineage) -> list[str]:
    source = lineage.data_source
    lines = [_or_unknown(lineage.data_digest, " (arrays)")]
    if source:
        location = source.get("location") or "the data set's own source"
        lines += [f"{source.get('dataset')} from {location}", f"fingerprint {source.get('fingerprint')}"]
    return lines + [f"{path}  {value}" for path, value in lineage.inputs.items()]


def _versions(lineage: ModelLineage) -> str:
    return ", ".join(f"{name} {version}" for name, version in lineage.versions.items()) or _UNKNOWN


def _machine(machine: Mapping[str, str]) -> str:
    threads = f", {machine['threads']} threads" if "threads" in machine else ""
    settings = machine.get("numeric_settings", "default")
    chosen = f", {settings}" if settings != "default" else ""
    flags = f" ({machine['cpu_flags']})" if "cpu_flags" in machine else ""
    return f"{machine.get('processor', _UNKNOWN)}{threads}{chosen}{flags}"


def _score_lines(scores: Mapping[str, float]) -> list[str]:
    return [
        f"{subset} accuracy {_with_interval(scores, subset)}{_further_scores(scores, subset)}"
        for subset in ("validation", "test")
        if f"{subset}_accuracy" in scores
    ] or ["not evaluated"]


def _with_interval(scores: Mapping[str, float], subset: str) -> str:
    low, high = (scores.get(f"{subset}_accuracy_{end}") for end in ("low", "high"))
    interval = f" [{low:.4f}, {high:.4f}]" if low is not None and high is not None else ""
    return f"{scores[f'{subset}_accuracy']:.4f}{interval}"


def _further_scores(scores: Mapping[str, float], subset: str) -> str:
    titles = {"f1_macro": "macro F1", "ece": "ECE"}
    known = {title: scores.get(f"{subset}_{name}") for name, title in titles.items()}
    return "".join(f", {title} {value:.4f}" for title, value in known.items() if value is not None)


def _print_revision(lineage: RevisionLineage) -> None:
    console = Console(width=_WIDTH, highlight=False)
    rows: list[_LabeledLines] = [("what", [lineage.subject])]
    if lineage.commit:
        rows.append(("commit", [lineage.commit]))
    rows += [("models", [f"{path}  {value}" for path, value in lineage.models.items()])]
    rows += [
        ("registered", [f"{each.version}: {each.reason}" for each in lineage.registered] or ["none"]),
    ]
    for line in _aligned(iter(rows)):
        console.print(line, markup=False, soft_wrap=True)
    if not lineage.runs:
        console.print("\nMLflow has no runs of it.")
        return
    console.print(_run_table(lineage))
    if lineage.trials:
        console.print(f"and {lineage.trials} trials of searches")
    console.print("'python -m pipeline lineage RUN' shows the chain behind one of them")


def _run_table(lineage: RevisionLineage) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("run", "name", "status", "started, UTC", "test"):
        table.add_column(title, no_wrap=True)
    table.add_column("because")
    for each in lineage.runs:
        run = each.run
        accuracy = "" if run.test_accuracy is None else f"{100 * run.test_accuracy:.2f} %"
        reasons = "; ".join(each.reasons)
        table.add_row(run.run_id[:8], run.name, run.status, run.started[:16], accuracy, reasons)
    return table


def _aligned(rows: Iterator[_LabeledLines]) -> Iterator[str]:
    """Labels on the left, their lines beside them, wrapped to the width; digests are never broken."""
    for label, lines in rows:
        for line in lines:
            wrapped = textwrap.wrap(
                line, _WIDTH - _LABEL_WIDTH, break_long_words=False, break_on_hyphens=False
            )
            for part in wrapped or [""]:
                yield f"{label:<{_LABEL_WIDTH}}{part}".rstrip()
                label = ""


def _or_unknown(value: Any, what: str) -> str:
    return f"{value}{what}" if value else _UNKNOWN
