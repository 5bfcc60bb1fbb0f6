"""`python -m pipeline study`: settings times seeds as DVC experiments, and one page about them."""

import argparse
import os
import shlex
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands.reproducing.named_experiments import NamedExperiment, NamedExperiments
from pipeline.commands.reproducing.repro import is_official_cifar10
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import say
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import require_writable, write_text
from pipeline.foundation.workspace import Workspace
from pipeline.params.whole import load_params
from pipeline.processes.child_process import Say
from pipeline.reporting.house_style import figure_png
from pipeline.reporting.page import render_page
from pipeline.reporting.wording import SPACE, signed
from pipeline.studies.analysis import Analysis, SettingResult, analyse
from pipeline.studies.cells import DONE, FAILED, OPEN, Cell, results_csv
from pipeline.studies.content import Making, p_text, recommendation, study_document
from pipeline.studies.study import Study, load_study
from pipeline.tracking.redaction import without_credentials
from pipeline.tracking.runs.kept_epochs import KeptEpoch, read_kept_epoch
from pipeline.tracking.runs.trainings import FAILED as FAILED_RUN
from pipeline.tracking.runs.trainings import TrainingRun
from pipeline.tracking.store import Store

_WIDTH = 80
_COMMIT_LENGTH = 7
_MOST_DELIVERIES = 5
_DATASET, _LOCATION = "fetch.dataset", "fetch.location"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study", type=Path, metavar="STUDY", help="its file, such as studies/augmentation.yaml"
    )
    parser.add_argument(
        "--location",
        metavar="PATH",
        help="a copy of the data, as the make targets' LOCATION; with fetch.dataset: cifar10 anything but "
        "the official archive is read as a folder of images",
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="run again what has failed, for example for want of memory; else it counts as a result",
    )


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Run a study: every setting of its file under every seed, each as a DVC experiment.

    What was run before, also by a call that was stopped, is not run again. Results and a page about them are
    written into a folder beside the file. Settings are compared on validation images; test images are not
    looked at.
    """
    bring_up_to_date(workspace, store, say)
    return run_study(workspace, store, options.study, options.location, options.retry_failed, say)


def run_study(
    workspace: Workspace, store: Store, path: Path, location: str | None, retry_failed: bool, say: Say
) -> int:
    """Run what is missing of a study, then write and print what is known.

    Args:
      workspace: the project; its files stay as they are.
      store: what has its runs.
      path: the study's file.
      location: a copy of the data; None for what the file or params.yaml says.
      retry_failed: whether a training that has failed is run again.
      say: is told what is run and why.

    Returns: the exit code of the DVC command that failed before its training had begun, or 0.

    Raises:
      PipelineError: the file or one of its values does not fit (nothing has been run then), this is not a git
        repository, or MLflow could not be reached.
    """
    study = load_study(path)
    require_writable(path.parent)
    experiments = NamedExperiments(workspace, store, study.candidate)
    planned = _planned(study, path, experiments, _located(study, location, workspace))
    experiments.require_possible()
    with tempfile.TemporaryDirectory() as scratch:
        results = _Results(store, study, experiments, planned, Path(scratch))
        files = _Files(path.with_suffix(""), _typed(path, location))
        results.look_up()
        code = _run_missing(workspace, results, files, retry_failed, say)
        analysis = files.write(results)
    _print_table(analysis)
    say(textwrap.fill(recommendation(analysis).replace(SPACE, " "), _WIDTH))
    say(f"page:    {os.path.relpath(files.page)}")
    say(f"results: {os.path.relpath(files.results)}")
    return code


# --- what is run ------------------------------------------------------------------------------------

Planned = Mapping[tuple[str, int], NamedExperiment]
"""The experiment of each setting and seed, in the order in which they are run."""


def _located(study: Study, location: str | None, workspace: Workspace) -> dict[str, Any]:
    """What a location puts over the base."""
    if location is None:
        return {}
    dataset = study.base.get(_DATASET, load_params(workspace.params).fetch.dataset)
    as_folder = dataset == "cifar10" and not is_official_cifar10(location, workspace)
    return {_LOCATION: location, **({_DATASET: "folder"} if as_folder else {})}


def _planned(study: Study, path: Path, experiments: NamedExperiments, located: Mapping[str, Any]) -> Planned:
    """All experiments, one seed after the other, so that a budget ends between comparable trainings.

    Raises PipelineError where values do not fit params.yaml, or settings are the same.
    """
    planned = {}
    for seed in study.seeds:
        for setting in study.settings:
            source = f"{path}: the base with setting {setting}"
            planned[setting, seed] = experiments.plan(study.values(setting, seed, located), source)
    first: dict[str, str] = {}
    for setting in study.settings:
        name = planned[setting, study.seeds[0]].name
        if name in first:
            raise PipelineError(
                f"{path}: the settings {first[name]} and {setting} are the same.",
                expected=f"params that decide {experiments.stage}, with other values",
                found=", ".join(study.settings[setting]) or "nothing that is set",
            )
        first[name] = setting
    return planned


def _run_missing(
    workspace: Workspace, results: "_Results", files: "_Files", retry_failed: bool, say: Say
) -> int:
    """Run every training without a result, until the budget is spent; returns the exit code of DVC.

    One that fails is a result. Where DVC fails before the training has begun (images that cannot be fetched,
    say), it would fail with all others too, and that is the end.
    """
    study, planned, began = results.study, results.planned, monotonic()
    missing = [key for key in planned if results.is_missing(key, retry_failed)]
    say(f"{len(planned)} trainings of {study.candidate}, {len(planned) - len(missing)} of them known already")
    for number, key in enumerate(missing, start=1):
        if study.budget_minutes is not None and monotonic() - began >= 60 * study.budget_minutes:
            left = len(missing) - number + 1
            say(f"the budget of {study.budget_minutes:g} minutes is spent; left for the next call: {left}")
            break
        (setting, seed), experiment = key, planned[key]
        say(f"training {number} of {len(missing)}: {setting}, seed={seed}")
        if results.experiments.dvc_has(experiment):
            name = experiment.name
            say(f"left out: DVC has {name}, but MLflow no run of it; 'dvc exp remove {name}' makes room")
            continue
        code = results.experiments.run(experiment, say)
        _deliver(workspace, results.store, say)
        results.look_up()
        cell = results.cells[key]
        if cell.status == FAILED:
            say(f"{setting}, seed={seed} has failed, which is a result: {cell.reason}")
        elif code:
            say(f"{setting}, seed={seed} did not finish; run the same command to continue from there")
            return code
        elif cell.status == OPEN:
            say(f"{setting}, seed={seed} has ended, and MLflow does not have it yet")
        files.write(results)
    return 0


def _deliver(workspace: Workspace, store: Store, say: Say) -> None:
    """Bring MLflow up to date, which tells whether a training has failed.

    On a busy machine the process that delivers may need longer than one call waits for it.
    """
    for _ in range(_MOST_DELIVERIES):
        if not bring_up_to_date(workspace, store, say):
            return


# --- what is known ----------------------------------------------------------------------------------


class _Results:
    """What MLflow knows of the trainings of a study.

    Attributes:
      cells: by setting and seed, as they were when last looked up.
    """

    def __init__(
        self, store: Store, study: Study, experiments: NamedExperiments, planned: Planned, scratch: Path
    ) -> None:
        """`scratch` is a folder for copies of what MLflow has."""
        self.store = store
        self.study = study
        self.experiments = experiments
        self.planned = planned
        self.cells: dict[tuple[str, int], Cell] = {}
        self._scratch = scratch
        self._runs: dict[str, TrainingRun] = {}
        self._kept: dict[str, KeptEpoch] = {}

    def look_up(self) -> None:
        """Ask MLflow. Raises PipelineError."""
        trainings = self.experiments.trainings()
        for (setting, seed), experiment in self.planned.items():
            own = self.experiments.runs_of(experiment, trainings)
            runs = [run for run in own if run.candidate == self.study.candidate]
            self.cells[setting, seed] = self._cell(setting, seed, experiment, runs)

    def is_missing(self, key: tuple[str, int], retry_failed: bool) -> bool:
        status = self.cells[key].status
        return status == OPEN or (retry_failed and status == FAILED)

    def in_order(self) -> list[Cell]:
        """By setting, then by seed."""
        study = self.study
        return [self.cells[setting, seed] for setting in study.settings for seed in study.seeds]

    def making(self, command: str) -> Making:
        """What the trainings that are done say of their origin; `command` is what was typed."""
        runs = [self._runs[run_id] for run_id in self._kept]
        versions: dict[str, str] = {}
        for kept in self._kept.values():
            for name, version in kept.versions.items():
                versions[name] = _joined(versions.get(name, ""), version)
        return Making(
            command=command,
            processors=sorted({run.processor for run in runs if run.processor}),
            commits=sorted({run.git_commit[:_COMMIT_LENGTH] for run in runs if run.git_commit}),
            versions=versions,
        )

    def _cell(
        self, setting: str, seed: int, experiment: NamedExperiment, runs: Sequence[TrainingRun]
    ) -> Cell:
        """`runs` are those of this training, the latest first."""
        known = Cell(
            setting=setting,
            seed=seed,
            status=OPEN,
            experiment=experiment.name,
            threads=experiment.params.threads,
        )
        # What was restored has no times.
        finished = sorted((run for run in runs if run.finished), key=lambda run: run.restored)
        failed = [run for run in runs if run.status == FAILED_RUN]
        if not finished:
            return replace(known, status=FAILED, reason=failed[0].failure) if failed else known
        run = finished[0]
        if run.run_id not in self._kept:
            self._kept[run.run_id] = read_kept_epoch(self.store, run.run_id, self._scratch)
            self._runs[run.run_id] = run
        kept = self._kept[run.run_id]
        return replace(
            known,
            status=DONE,
            validation_accuracy=kept.validation_accuracy,
            validation_loss=kept.validation_loss,
            epochs=kept.epochs,
            seconds=None if run.restored else run.duration_seconds,
            images_per_second=None if run.restored else run.images_per_second,
            parameters=kept.parameters,
        )


def _joined(known: str, version: str) -> str:
    versions = [*filter(None, known.split(", ")), version]
    return ", ".join(dict.fromkeys(versions))


# --- what is written --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Files:
    """The page and the table of results, in a folder beside the study's file; no outputs of DVC's.

    `command` is what was typed.
    """

    folder: Path
    command: str

    @property
    def page(self) -> Path:
        return self.folder / "page.html"

    @property
    def results(self) -> Path:
        return self.folder / "results.csv"

    def write(self, results: _Results) -> Analysis:
        """Write both, and return what they say."""
        analysis = analyse(results.study, results.in_order())
        document = study_document(analysis, results.making(self.command))
        pictures = {chart.name: figure_png(chart.figure) for chart in document.charts()}
        write_text(self.results, results_csv(analysis.cells))
        write_text(self.page, render_page(document, pictures, {}))
        return analysis


def _typed(path: Path, location: str | None) -> str:
    """The command without what is only this machine's: pages are shown to others."""
    words = ["python", "-m", "pipeline", "study", path.name if path.is_absolute() else str(path)]
    if location is not None:
        here = "://" not in location and Path(location).is_absolute()
        words += ["--location", f"PATH/{Path(location).name}" if here else without_credentials(location)]
    return shlex.join(words)


def _print_table(analysis: Analysis) -> None:
    """Print a line for each setting, in 80 columns."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("setting", no_wrap=True)
    for title in ("seeds", "validation, %", "difference", "p (Holm)", "median s"):
        table.add_column(title, justify="right", no_wrap=True)
    for setting in analysis.settings:
        style = "bold" if setting is analysis.recommended else None
        table.add_row(*map(Text, _table_row(setting)), style=style)
    console = Console(width=_WIDTH, highlight=False)
    console.print(table)
    console.print("mean ± standard deviation over the seeds; difference in points to the reference,")
    console.print(f"{analysis.reference.name}; p of the paired t-test, corrected by Holm's method")


def _table_row(setting: SettingResult) -> tuple[str, ...]:
    mean, spread, difference = setting.mean, setting.estimate, setting.difference
    deviation = "" if spread is None else f" ± {100 * spread.deviation:.2f}"
    return (
        setting.name,
        f"{len(setting.done)}/{len(setting.cells)}",
        "" if mean is None else f"{100 * mean:.2f}{deviation}",
        "" if difference is None else signed(100 * difference.estimate.mean, 2),
        p_text(setting.corrected_p),
        "" if setting.seconds is None else f"{setting.seconds:,.1f}",
    )
