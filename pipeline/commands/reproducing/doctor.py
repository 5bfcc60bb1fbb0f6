"""`python -m pipeline doctor`: what this machine and this checkout have, and what is wrong with them.

It only looks. TensorFlow, MLflow and DVC are not imported: each takes seconds.
"""

import argparse
import filecmp
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.commands.terminal import say
from pipeline.foundation.declarations import Declaration, parse_declarations, parse_values
from pipeline.foundation.errors import EXIT_FAILURE, PipelineError
from pipeline.foundation.texts import first_few
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.params.whole import load_params
from pipeline.processes.child_process import Say
from pipeline.repository.repository import Lock, Repository
from pipeline.tracking.environment import requirement_differences
from pipeline.tracking.flat_params import as_text
from pipeline.tracking.journal.delivery import REJECTED
from pipeline.tracking.journal.journal import pending_journals, runs_waiting
from pipeline.tracking.own_database import places_of_artifacts, runs_fingerprint
from pipeline.tracking.provenance import DECISIVE_FILES, installed_version, system_information
from pipeline.tracking.redaction import without_credentials
from pipeline.tracking.store import Store
from pipeline.tracking.synchronization import has_refusals

_WIDTH, _LABEL_WIDTH = 80, 14
_LEAST_FREE_BYTES = 5 * 10**9
_PROGRAM_SECONDS = 5.0

_BFLOAT16 = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16"}
_POSTGRESQL_OF_DEBIAN = Path("/usr/lib/postgresql")
_OPTIONAL = {
    "Chromium": (("chromium", "chromium-browser", "google-chrome"), "the tests of the pages (make check)"),
    "curl": (("curl",), "the test of the guide to deployment (make check)"),
    "PostgreSQL": (("initdb",), "the test of a team's MLflow server (make check)"),
    "container": (("docker", "podman"), "the images of docs/deploy.md and docs/team.md"),
    "pre-commit": (("pre-commit",), "checking each commit before it is made (CONTRIBUTING.md)"),
}
"""What the project can do without: the programs of which one is enough, and what it is for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Print versions, processor, memory, disk and optional programs, then what is wrong and how to fix it.

    It changes nothing. Exit code 0 when nothing is wrong, 1 otherwise.
    """
    return examine(workspace, say)


@dataclass(frozen=True)
class Observation:
    label: str
    text: str


Outcome = Observation | PipelineError
"""Something to know, or something wrong with its remedy."""


def examine(workspace: Workspace, say: Say) -> int:
    """Print what there is, in 80 columns, then what is wrong and how to fix it.

    Returns the exit code: 0 when nothing is wrong.
    """
    sections = {
        "Machine": _machine(workspace),
        "Packages": _packages(workspace),
        "Optional programs": _programs(),
        "Checkout": _checkout(workspace),
    }
    wrong = []
    for title, findings in sections.items():
        say(title)
        for finding in findings:
            if isinstance(finding, PipelineError):
                wrong.append(finding)
            else:
                say(_filled(f"  {finding.label:{_LABEL_WIDTH - 2}}{finding.text}", " " * _LABEL_WIDTH))
        say("")
    if not wrong:
        say("Nothing is wrong.")
        return 0
    say("1 thing is wrong:" if len(wrong) == 1 else f"{len(wrong)} things are wrong:")
    for number, error in enumerate(wrong, start=1):
        first, *others = str(error).splitlines()
        say("")
        say(_filled(f"{number}. {first}", " " * 3))
        for line in others:
            say(_filled(f" {line}", " " * (_LABEL_WIDTH - 1)))
    return EXIT_FAILURE


def _machine(workspace: Workspace) -> Iterator[Outcome]:
    information = system_information()
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(workspace.home)
    yield Observation("system", information["system"])
    yield Observation(
        "processor",
        f"{information['processor']}; cores: {information['cores']}, logical: {information['logical_cores']}",
    )
    yield Observation("bfloat16", _bfloat16(information["cpu_flags"]))
    if information["numeric_settings"]:
        yield Observation("settings", f"{' '.join(information['numeric_settings'])} (they decide rounding)")
    yield Observation("GPU", _graphics_processors())
    yield Observation(
        "memory", f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB available"
    )
    yield Observation("disk", f"{disk.total / 1e9:.0f} GB, {disk.free / 1e9:.0f} GB free")
    if disk.free < _LEAST_FREE_BYTES:
        yield PipelineError(
            f"Only {disk.free / 1e9:.1f} GB are free on the disk of this folder.",
            expected=f"{_LEAST_FREE_BYTES / 1e9:.0f} GB",
            remedy="free some space; 'du -sh .dvc/cache .downloads mlartifacts exports' shows what takes it",
        )


def _bfloat16(flags: Sequence[str]) -> str:
    """Whether precision=mixed_bfloat16 makes training faster here."""
    if not flags:
        return "not known: this system does not tell its instruction sets"
    found = [name for flag, name in _BFLOAT16.items() if flag in flags]
    if not found:
        return "no instructions for it: precision=float32 is faster"
    return f"{', '.join(found)}: precision=mixed_bfloat16 is faster, except with depthwise convolutions"


def _graphics_processors() -> str:
    if shutil.which("nvidia-smi") is None:
        return "none (no nvidia-smi)"
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROGRAM_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return "none that nvidia-smi can reach"
    unused = " (not used: tensorflow-cpu is installed)" if installed_version("tensorflow-cpu") else ""
    return f"{'; '.join(done.stdout.splitlines())}{unused}"


def _packages(workspace: Workspace) -> Iterator[Outcome]:
    information = system_information()
    yield Observation("Python", f"{information['python']}, {_shown(Path(sys.prefix), workspace)}")
    yield Observation(
        "installed", ", ".join(f"{name} {each}" for name, each in information["libraries"].items())
    )
    pinned = workspace.requirements
    differences = requirement_differences(pinned.read_text(encoding="utf-8")) if pinned.exists() else []
    # The Makefile's copy of what was installed last; an environment of another origin has none.
    installed = Path(sys.prefix, pinned.name)
    both = installed.exists() and pinned.exists()
    if differences or (both and not filecmp.cmp(installed, pinned, shallow=False)):
        yield PipelineError(
            "The installed packages are not those of requirements.lock.",
            found=first_few(differences) if differences else "an earlier requirements.lock was installed",
            remedy="make setup",
        )
    else:
        yield Observation("versions", "as requirements.lock has them")


def _programs() -> Iterator[Outcome]:
    for name, (programs, purpose) in _OPTIONAL.items():
        found = any(map(_is_installed, programs))
        yield Observation(name, f"{'found' if found else 'not found'}; for {purpose}")


def _is_installed(program: str) -> bool:
    # Debian keeps PostgreSQL's tools off the PATH.
    return shutil.which(program) is not None or any(_POSTGRESQL_OF_DEBIAN.glob(f"*/bin/{program}"))


def _checkout(workspace: Workspace) -> Iterator[Outcome]:
    repository = Repository(workspace.root)
    yield from _commit(repository)
    yield from _params(workspace)
    journals = pending_journals(workspace.journal)
    recording = any(journal.writer_is_alive() for journal in journals)
    yield from _lock(workspace, repository, recording)
    yield from _journal(workspace, waiting=bool(journals) and not recording)
    yield from _store(workspace)


def _commit(repository: Repository) -> Iterator[Outcome]:
    head = repository.head()
    if head is None:
        yield PipelineError(
            "git knows no commit here.", remedy="run 'git status' in this folder: it says why"
        )
        return
    yield Observation("commit", repository.title(head))
    changed = repository.changes(*DECISIVE_FILES)
    if changed:
        yield PipelineError(
            "Files that decide results are not committed.",
            found=first_few(changed),
            remedy="commit them; until then runs are recorded as made from a changed commit",
        )


def _params(workspace: Workspace) -> Iterator[Outcome]:
    try:
        params = load_params(workspace.params)
    except PipelineError as error:
        remedy = error.remedy or "correct it; 'git diff params.yaml' shows what was changed"
        yield PipelineError(error.what, found=error.found, remedy=remedy)
    else:
        yield Observation(
            "params", f"params.yaml fits (threads: {params.threads}, precision: {params.precision})"
        )


def _lock(workspace: Workspace, repository: Repository, recording: bool) -> Iterator[Outcome]:
    """Whether dvc.lock is of this dvc.yaml and these params, and whether the outputs are here.

    `recording` is whether a stage runs: DVC has deleted its outputs then.
    """
    declared = parse_declarations(repository.text(None, workspace.stages.name) or "")
    lock = repository.lock(None)
    if not declared or not lock.stages:
        yield PipelineError(
            "dvc.yaml or dvc.lock is missing or cannot be read.",
            remedy="git checkout dvc.yaml dvc.lock",
        )
        return
    if others := _stages_of_another_time(declared, lock):
        yield PipelineError(
            "dvc.lock was not made with this dvc.yaml.", found=first_few(others), remedy="make repro"
        )
    values = parse_values(repository.text(None, workspace.params.name) or "")
    if changed := _changed_params(lock, values):
        yield PipelineError(
            "dvc.lock was made with other params.",
            found=first_few(changed),
            remedy="make repro; or 'git checkout params.yaml' restores the committed ones",
        )
    outputs = [path for stage in declared.values() for path in stage.outputs]
    in_git = (repository.git("ls-files", "--", *outputs) or "").splitlines()
    outputs = [path for path in outputs if path not in in_git]
    missing = [path for path in outputs if not (workspace.root / path).exists()]
    if recording:
        yield Observation("outputs", "a stage is running")
    elif len(missing) == len(outputs):
        yield Observation("outputs", "none yet; 'make repro' makes them")
    elif missing:
        yield PipelineError(
            f"{len(missing)} of {len(outputs)} outputs are missing.",
            found=first_few(missing),
            remedy="dvc checkout, or make repro",
        )
    else:
        yield Observation("outputs", f"all {len(outputs)} are here")


def _stages_of_another_time(declared: Mapping[str, Declaration], lock: Lock) -> list[str]:
    """The stages of which dvc.lock has no entry, or one with other dependencies, params or outputs."""
    found = [f"{name} is gone" for name in lock.stages if name not in declared]
    for name, stage in declared.items():
        entry = lock.stages.get(name)
        if entry is None:
            found.append(f"{name} was never run")
            continue
        pairs = {
            "dependencies": (stage.dependencies, entry.inputs),
            "params": (stage.params, entry.params),
            "outputs": (stage.outputs, entry.outputs),
        }
        found += [f"{name} ({what})" for what, (now, then) in pairs.items() if set(now) != set(then)]
    return found


def _changed_params(lock: Lock, values: Mapping[str, Any]) -> list[str]:
    """Names of the params whose values in dvc.lock are not those of params.yaml."""
    changed = set()
    for stage in lock.stages.values():
        keys = [key for key, value in stage.params.items() if key in values and values[key] != value]
        then, now = (as_text({key: source[key] for key in keys}) for source in (stage.params, values))
        changed |= {name for name in then.keys() | now.keys() if then.get(name) != now.get(name)}
    return sorted(changed)


def _journal(workspace: Workspace, waiting: bool) -> Iterator[Outcome]:
    if waiting:
        yield PipelineError(
            "MLflow does not have everything that was recorded.",
            found=f"{runs_waiting(workspace.journal)} runs wait in {workspace.journal.name}",
            remedy="python -m pipeline sync",
        )
    if has_refusals(workspace):
        yield PipelineError(
            "MLflow has refused some records.",
            remedy=f"read {workspace.journal.name}/{REJECTED}, then delete it",
        )


def _store(workspace: Workspace) -> Iterator[Outcome]:
    database = workspace.tracking_database
    if address := os.environ.get("MLFLOW_TRACKING_URI"):
        yield Observation("runs", f"at {without_credentials(address)}, as MLFLOW_TRACKING_URI says")
        return
    if not database.exists():
        yield Observation("runs", "none yet")
        if any(workspace.model(candidate).exists() for candidate in CANDIDATES):
            yield PipelineError(
                f"{database.name} is missing, although there are models.",
                remedy="python -m pipeline sync, which records what DVC keeps",
            )
        return
    try:
        places = places_of_artifacts(workspace)
    except sqlite3.Error as error:
        yield PipelineError(
            f"{database.name} cannot be read.",
            found=str(error),
            remedy="move it away; then 'python -m pipeline sync' records what DVC keeps",
        )
        return
    yield Observation("runs", f"{runs_fingerprint(workspace)[0]} in {database.name}")
    for place in places:
        if place.startswith("file:") and place != workspace.tracking_artifacts.as_uri():
            yield PipelineError(
                "This folder was moved or copied: the runs' artifacts are recorded elsewhere.",
                expected=workspace.tracking_artifacts.as_uri(),
                found=place,
                remedy=f"move it back; in a copy, delete {database.name} and run 'python -m pipeline sync'",
            )


def _shown(path: Path, workspace: Workspace) -> str:
    return str(path.relative_to(workspace.root)) if path.is_relative_to(workspace.root) else str(path)


def _filled(line: str, indent: str) -> str:
    """The line, continued below `indent`; words (paths among them) are not broken."""
    return textwrap.fill(
        line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
