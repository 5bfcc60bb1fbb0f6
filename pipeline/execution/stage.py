"""Runs one stage as a process.

`run_stage` is all that stands below `if __name__ == "__main__":` of a stage file. It reads the part
of params.yaml that the stage declares, hands it over together with the workspace and a tracker, tells
MLflow what the stage has made, and turns what goes wrong into one message and an exit code.
"""

import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from pipeline.execution import process_setup
from pipeline.execution.failures import failures_explained
from pipeline.execution.inputs import StageInputs, unchanged
from pipeline.execution.parent import StartingProcess
from pipeline.execution.staging import publish, staged
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import Workspace
from pipeline.params.base import Section
from pipeline.params.whole import load_params, select
from pipeline.processes.resumption import remove_leftovers
from pipeline.recording.finished_stage import begin_run, record_stage
from pipeline.tracking.journal.journal_tracker import JournalTracker

Config = TypeVar("Config", bound=Section)


def run_stage(
    name: str, run: Callable[[Workspace, Config, Tracker], None], config_type: type[Config]
) -> NoReturn:
    """Run the stage `name` and end the process: with exit code 0, or 1 (or 130, 143) unless all went well.

    `config_type` names the keys of params.yaml that dvc.yaml lists under the stage's params. Where
    `threads` is one of them, it sets the size of every numerical library's thread pool. A stage whose
    inputs have changed when it ends has failed, and one whose DVC has died ends without outputs.
    """
    process_setup.quiet_libraries()
    process_setup.stop_in_good_order()
    print(f"{name}: started", flush=True)
    began = time.monotonic()
    with failures_explained(name, interrupted="stopped before its end; 'dvc repro' takes it up again"):
        workspace = Workspace.from_environment()
        inputs = StageInputs(workspace, name)
        params = load_params(workspace.params)
        config = select(params, config_type)
        threads = getattr(config, "threads", None)
        if threads is not None:
            process_setup.limit_threads(threads)
        declared = config.model_dump(mode="json")
        remove_leftovers(workspace)
        starter = StartingProcess()
        with (
            starter.ends_this_one(name),
            staged(workspace, name) as own,
            JournalTracker(workspace, name, params.tracking.experiment, declared) as tracker,
        ):
            begin_run(tracker)
            with unchanged(inputs, name, tracker.fail_runs):
                run(own, config, tracker)
            starter.require_alive()
            with process_setup.uninterrupted():
                publish(own)
            with unchanged(inputs, name, tracker.fail_runs):
                record_stage(tracker)
    print(f"{name}: finished in {_duration(time.monotonic() - began)}", flush=True)
    process_setup.end_at_once()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
