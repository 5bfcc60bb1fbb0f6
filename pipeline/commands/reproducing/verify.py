"""`python -m pipeline verify`: reproduce a revision elsewhere and compare every byte with its dvc.lock."""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipeline.commands.addresses.address import Address, Word, add_address, asks_mlflow
from pipeline.commands.addresses.finding import Finder
from pipeline.commands.addresses.found import Found, InRevision, InWorkingTree
from pipeline.commands.addresses.lineages import lineage_of
from pipeline.commands.reproducing.locked_outputs import (
    AGREES,
    FROM_CACHE,
    AccuracyCheck,
    OutputCheck,
    StageCheck,
    compare_accuracies,
    compare_stage,
)
from pipeline.commands.reproducing.temporary_clone import TemporaryClone, temporary_clone
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import say, say_aside
from pipeline.foundation.declarations import Declaration, parse_values
from pipeline.foundation.errors import EXIT_REFUSED, PipelineError
from pipeline.foundation.files import read_json
from pipeline.foundation.texts import first_few
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.params.whole import load_params
from pipeline.processes.child_process import Say
from pipeline.repository.repository import Lock, Repository
from pipeline.repository.stage_outputs import TRAININGS
from pipeline.tracking.environment import card_differences, machine_differences, requirement_differences
from pipeline.tracking.lineage.index import Index
from pipeline.tracking.lineage.values import ModelLineage
from pipeline.tracking.provenance import DECISIVE_FILES
from pipeline.tracking.store import Store

_WIDTH = 100
"""Columns; fixed, so that the table is the same in a terminal, a pipe and a log."""
_CLAIM = (
    "Equal bytes are claimed for the same kind of machine only: processor, threads and versions of the "
    "libraries. On another kind, compare the scores."
)

Graph = Mapping[str, Declaration]
"""The dependencies of every stage, by its name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_address(
        parser,
        "revision",
        nargs="?",
        default="HEAD",
        metavar="REV",
        role="a commit, branch, tag or DVC experiment (default: %(default)s)",
    )
    parser.add_argument("--stage", metavar="STAGE", help="only this stage, on inputs from the cache")
    parser.add_argument(
        "--from-source",
        action="store_true",
        help="import the images again, not from DVC's cache",
    )


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Reproduce a revision in a temporary clone and compare every output with its dvc.lock, byte for byte.

    Exit code 0 only when all agree, 3 when something differs.
    """
    if asks_mlflow(options.revision):
        bring_up_to_date(workspace, store, say_aside)
    return verify(workspace, store, options.revision, options.stage, options.from_source, say)


def verify(
    workspace: Workspace, store: Store, address: Address, stage: str | None, from_source: bool, say: Say
) -> int:
    """Reproduce a revision in a temporary clone and compare its outputs with its dvc.lock.

    Args:
      workspace: the project; nothing of it is changed.
      store: asked for the machines that made its models, where something differs.
      address: of a revision.
      stage: only this stage, on inputs from DVC's cache; None for all.
      from_source: import the images anew, too, instead of taking them from DVC's cache.
      say: is told what is done.

    Returns:
      0 where every output agrees, byte for byte, else EXIT_REFUSED.

    Raises:
      PipelineError: there is no such revision or stage, the revision has no dvc.lock, the stage's inputs
        are not in the cache, or the reproduction fails.
    """
    began = time.monotonic()
    repository = Repository(workspace.home)
    commit = _require_commit(workspace, store, address)
    recorded = _require_lock(repository, commit)
    graph = repository.declarations(commit)
    if stage is not None:
        _require_stage(stage, graph, recorded, repository.title(commit))
    say(f"verifying {repository.title(commit)}")
    if address == Word("HEAD") and repository.changes(*DECISIVE_FILES, workspace.lock.name):
        say("the workspace has uncommitted changes, which are not verified")
    console = Console(width=_WIDTH, highlight=False)
    with temporary_clone(workspace, commit) as clone:
        cached = _provide_inputs(clone, recorded, graph, stage, from_source, say)
        _reproduce(clone, repository, commit, _targets(stage, graph, recorded), say)
        reproduced = clone.lock
        checks = [
            compare_stage(
                name,
                recorded,
                reproduced,
                clone.workspace.root,
                lambda path: repository.file_hashes(commit, path),
                cached=name in cached,
            )
            for name in ([stage] if stage is not None else _locked(graph, recorded))
        ]
        console.print(_table(checks))
        if not all(check.agrees for check in checks):
            for line in _explanation(checks, clone, store, commit):
                console.print(line, markup=False, soft_wrap=True)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    console.print(f"{_conclusion(checks)} ({minutes} min {seconds} s).", markup=False, soft_wrap=True)
    return 0 if all(check.agrees for check in checks) else EXIT_REFUSED


def _require_commit(workspace: Workspace, store: Store, address: Address) -> str:
    """The commit that is meant. Raises PipelineError where it is a model, and says how to verify that."""
    with Finder(workspace, store) as finder:
        found = finder.find(address)
        if isinstance(found, InRevision) and found.candidate is None:
            return found.commit
        raise PipelineError(
            f"verify reproduces a revision, which this is not: {found}.",
            expected="a commit, branch, tag or DVC experiment",
            remedy=f"python -m pipeline {_command_for(finder, address, found)}",
        )


def _command_for(finder: Finder, address: Address, found: Found) -> str:
    """What verifies the training of a model, or shows what is known of it where no commit is."""
    stages = {candidate: stage for stage, candidate in TRAININGS.items()}
    match found:
        case InWorkingTree(candidate):
            return f"verify HEAD --stage {stages[candidate]}"
        case InRevision():
            return f"verify {found.name} --stage {stages[finder.candidate(found)]}"
        case _:
            lineage = lineage_of(finder, found)
            if isinstance(lineage, ModelLineage):
                commit = lineage.experiment.commit if lineage.experiment else ""
                if not commit and lineage.dvc_hash:
                    commit = finder.repository.first_commit_with(lineage.dvc_hash) or ""
                if commit := commit or lineage.git_commit:
                    return f"verify {commit[:10]} --stage {lineage.stage}"
            return f"lineage {address}"


def _require_lock(repository: Repository, commit: str) -> Lock:
    lock = repository.lock(commit)
    if not lock.stages:
        raise PipelineError(
            f"{repository.title(commit)}: there is no dvc.lock to compare with.",
            remedy="run 'dvc repro' there and commit dvc.lock, or name another revision",
        )
    return lock


def _require_stage(stage: str, graph: Graph, recorded: Lock, title: str) -> None:
    if stage not in graph:
        raise PipelineError(
            f"There is no stage '{stage}' in dvc.yaml of {title}.", expected=f"one of {', '.join(graph)}"
        )
    if stage not in recorded.stages:
        raise PipelineError(
            f"The stage '{stage}' has never been run at {title}.",
            expected=f"one that dvc.lock has: {', '.join(_locked(graph, recorded))}",
        )


def _locked(graph: Graph, recorded: Lock) -> list[str]:
    return [name for name in graph if name in recorded.stages]


def _provide_inputs(
    clone: TemporaryClone, recorded: Lock, graph: Graph, stage: str | None, from_source: bool, say: Say
) -> list[str]:
    """Prepare the clone so that DVC runs what is to be verified; returns the stages taken from the cache."""
    if stage is not None:
        _provide_stage_inputs(
            clone, stage, recorded.data_inputs(stage, graph[stage].dependencies), from_source, say
        )
        return []
    imports = [] if from_source else _imports(recorded, graph)
    cached = []
    for name in imports:
        outputs = ", ".join(recorded.stages[name].outputs)
        if clone.fetch(list(recorded.stages[name].outputs), say):
            cached.append(name)
            say(f"{outputs}: from DVC's cache (--from-source imports the images anew)")
        else:
            say(f"{outputs}: not in DVC's cache, so that {name} imports it anew")
    clone.forget_stages([name for name in recorded.stages if name not in cached])
    return cached


def _provide_stage_inputs(
    clone: TemporaryClone, stage: str, inputs: Mapping[str, str], from_source: bool, say: Say
) -> None:
    if inputs and from_source:
        raise PipelineError(
            f"--stage {stage} takes its inputs from DVC's cache, --from-source imports the images anew.",
            expected="only one of the two",
        )
    if inputs:
        say(f"inputs of {stage}, from DVC's cache: {', '.join(inputs)}")
    if not clone.fetch(list(inputs), say):
        raise PipelineError(
            f"The inputs of {stage} are not all in DVC's cache, nor in a DVC remote.",
            expected=", ".join(inputs),
            remedy="verify without --stage, which makes them",
        )


def _imports(recorded: Lock, graph: Graph) -> list[str]:
    """The stages that read nothing that another stage writes."""
    return [
        name for name in _locked(graph, recorded) if not recorded.data_inputs(name, graph[name].dependencies)
    ]


def _targets(stage: str | None, graph: Graph, recorded: Lock) -> list[str]:
    """What `dvc repro` is given: nothing means all stages, but an experiment may have run only some."""
    if stage is not None:
        return ["--single-item", "--force", stage]
    locked = _locked(graph, recorded)
    return [] if len(locked) == len(graph) else locked


def _reproduce(
    clone: TemporaryClone, repository: Repository, commit: str, targets: Sequence[str], say: Say
) -> None:
    code = clone.reproduce(targets, say)
    if code:
        other = requirement_differences(repository.text(commit, clone.original.requirements.name) or "")
        raise PipelineError(
            f"{repository.title(commit)} could not be reproduced: see the messages above.",
            found=f"DVC ended with exit code {code}",
            remedy=f"its requirements.lock has other versions: {first_few(other)}" if other else None,
        )


def _table(checks: Iterable[StageCheck]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("stage", "output"):
        table.add_column(title, no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("result")
    for check in checks:
        for number, output in enumerate(check.outputs):
            name = "" if number else check.name
            style = None if output.verdict in (AGREES, FROM_CACHE) else "bold red"
            table.add_row(name, output.path, f"{output.size:,}", _verdict(output), style=style)
    return table


def _verdict(output: OutputCheck) -> str:
    return f"{output.verdict}: {first_few(output.files)}" if output.files else output.verdict


def _conclusion(checks: Sequence[StageCheck]) -> str:
    verdicts = [output.verdict for check in checks for output in check.outputs]
    cached, agreeing = verdicts.count(FROM_CACHE), verdicts.count(AGREES)
    reproduced = len(verdicts) - cached
    kept = f"; {cached} taken from the cache" if cached else ""
    return f"{agreeing} of {reproduced} reproduced outputs agree, byte for byte{kept}"


def _explanation(
    checks: Sequence[StageCheck], clone: TemporaryClone, store: Store, commit: str
) -> Iterator[str]:
    """What is known of the reasons, and whether the scores agree all the same."""
    repository = Repository(clone.original.home)
    stale = [check for check in checks if check.stale]
    for check in stale:
        if check.params:
            yield f"{check.name}: params.yaml and dvc.lock differ in {first_few(check.params)}"
        if check.code:
            yield f"{check.name}: the code differs from that in dvc.lock: {first_few(check.code)}"
        if check.outdated:
            yield f"{check.name}: was not run again after these had changed: {first_few(check.outdated)}"
    if stale:
        yield "So dvc.lock was not made by this revision: run 'dvc repro' there, and commit dvc.lock."
        if all(check.agrees for check in checks if not check.stale and not check.inputs):
            yield "All stages that it did make agree; --stage verifies one of them."
    moved = [
        check
        for check in checks
        if check.unexplained and _imports_other_images(check, clone, repository, commit)
    ]
    for check in moved:
        yield f"{check.name}: the images at their source are no longer those in dvc.lock"
    yield from _accuracy_lines(checks, clone, repository, commit)
    unexplained = [check.name for check in checks if check.unexplained and check not in moved]
    if unexplained:
        yield f"The same params, code and inputs gave different bytes in {', '.join(unexplained)}."
        yield from _environment_lines(clone, store, commit)
        yield _CLAIM


def _imports_other_images(
    check: StageCheck, clone: TemporaryClone, repository: Repository, commit: str
) -> bool:
    """Whether the stage reads images from a source whose fingerprint has changed."""
    source = clone.original.source.relative_to(clone.original.root).as_posix()
    if source not in [output.path for output in check.outputs]:
        return False
    recorded = repository.output(commit, source)
    fingerprint = read_json(clone.workspace.source)["fingerprint"]
    return recorded is not None and json.loads(recorded)["fingerprint"] != fingerprint


def _accuracy_lines(
    checks: Sequence[StageCheck], clone: TemporaryClone, repository: Repository, commit: str
) -> Iterator[str]:
    path = clone.original.scores.relative_to(clone.original.root).as_posix()
    if not any(output.path == path for check in checks for output in check.outputs):
        yield "Scores were not computed: --stage evaluate, or verify without --stage, compares them."
        return
    reproduced = clone.workspace.scores
    accuracies = compare_accuracies(
        repository.text(commit, path) or "",
        reproduced.read_text(encoding="utf-8") if reproduced.exists() else "",
    )
    if not accuracies:
        yield f"Scores cannot be compared: git has none that can be read in {path} of this revision."
        return
    outside = [each for each in accuracies if not each.agrees]
    yield "Accuracies, recorded with their interval and reproduced:"
    yield from (f"    {_accuracy_line(each)}" for each in accuracies)
    if outside:
        yield f"{len(outside)} of {len(accuracies)} accuracies lie outside the recorded interval."
    else:
        yield "All accuracies agree within their recorded intervals."


def _accuracy_line(check: AccuracyCheck) -> str:
    name = f"{check.candidate} {check.subset}"
    verdict = "agrees" if check.agrees else "outside"
    interval = f"{check.recorded:.4f} [{check.interval.low:.4f}, {check.interval.high:.4f}]"
    return f"{name:<22} {interval}  {check.reproduced:.4f}  {verdict}"


def _environment_lines(clone: TemporaryClone, store: Store, commit: str) -> Iterator[str]:
    """What differs between here and where the revision's models were made, as far as it is recorded."""
    repository = Repository(clone.original.home)
    params = parse_values(clone.workspace.params.read_text(encoding="utf-8"))
    try:
        with store.failures_as_unavailable():
            known = Index(store, load_params(clone.original.params).tracking.experiment).makers(commit)
    except PipelineError as error:
        known = {}
        yield f"Where it was made is not known: {error.what}"
    differences: dict[str, list[str]] = {}
    for path, facts in known.items():
        for each in machine_differences(facts, params):
            differences.setdefault(each, []).append(path)
    if not known:
        yield "MLflow does not know the runs that made its models, so their processor is unknown."
        for candidate in CANDIDATES:
            path = clone.original.card(candidate).relative_to(clone.original.root).as_posix()
            card = repository.output(commit, path)
            for each in card_differences((card or b"").decode(errors="replace")):
                differences.setdefault(each, []).append(path)
    for each in requirement_differences(repository.text(commit, clone.original.requirements.name) or ""):
        differences.setdefault(each, []).append(clone.original.requirements.name)
    if not differences:
        yield "As far as it was recorded, its environment is the same as this one."
        return
    yield "How this environment differs from the one in which it was made:"
    yield from (f"    {each} ({', '.join(where)})" for each, where in differences.items())
