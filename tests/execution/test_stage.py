"""What a stage's process prints and how it ends, whatever happens inside."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = """
    import errno, os, sys, time, warnings
    from pipeline.execution.stage import run_stage
    from pipeline.foundation.errors import PipelineError
    from pipeline.params.base import PositiveInt, Section
    from pipeline.foundation.tracker import Tracker

    class Config(Section):
        threads: PositiveInt

    def run(workspace, config, tracker):
        {body}

    run_stage("toy", run, Config)
"""

Start = Callable[[str], subprocess.Popen[str]]
Finish = Callable[[str], tuple[str, str, int]]


@pytest.fixture
def start(project: Path, tmp_path: Path) -> Start:
    """Starts a stage with this body in a folder of its own."""
    (tmp_path / "params.yaml").write_bytes((project / "params.yaml").read_bytes())

    def start_stage(body: str) -> subprocess.Popen[str]:
        indented = textwrap.indent(textwrap.dedent(body), " " * 8).strip()
        script = textwrap.dedent(SCRIPT).format(body=indented.replace("\n" + " " * 8, "\n    "))
        return subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(project)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start_stage


@pytest.fixture
def finish(start: Start) -> Finish:
    """Runs a stage with this body to its end; returns stdout, stderr and exit code."""

    def run_stage(body: str) -> tuple[str, str, int]:
        process = start(body)
        output, errors = process.communicate(timeout=60)
        return output, errors, process.returncode

    return run_stage


def test_a_stage_says_when_it_starts_and_how_long_it_took(finish: Finish) -> None:
    output, errors, code = finish("print('working')")
    assert re.fullmatch(r"toy: started\nworking\ntoy: finished in \d+\.\d s\n", output)
    assert (errors, code) == ("", 0)


def test_it_gets_the_declared_params_and_the_workspace(finish: Finish, tmp_path: Path) -> None:
    output, _, _ = finish("print(config.threads, hasattr(config, 'lr'), workspace.root, workspace.home)")
    assert output.splitlines()[1] == f"2 False {tmp_path} {tmp_path}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise PipelineError('No images.', remedy='add some')", "toy: No images.\n  to fix:   add some\n"),
        ("raise OSError(errno.ENOSPC, 'No space', '/data/x')", "toy: The disk is full: /data/x could not"),
        ("open('/data/none')", "toy: /data/none: No such file or directory\n"),
        (
            "raise OSError(errno.EROFS, '', '/x')",
            "toy: /x: Read-only file system\n  to fix:   work",
        ),
        ("raise MemoryError", "toy: The memory of this machine is not enough.\n  to fix:   lower batch_size"),
        (
            "raise type('ResourceExhaustedError', (Exception,), {})('OOM when allocating')",
            "toy: The memory of this machine is not enough.",
        ),
        (
            "raise type('ResourceExhaustedError', (Exception,), {})('x; No space left on device')",
            "toy: The disk is full.\n  to fix:   free some space",
        ),
    ],
)
def test_what_a_person_can_fix_is_one_message(finish: Finish, body: str, message: str) -> None:
    output, errors, code = finish(body)
    assert errors.startswith(message)
    assert "Traceback" not in errors
    assert (output, code) == ("toy: started\n", 1)


def test_when_nobody_reads_what_it_prints_it_ends_without_a_word(start: Start) -> None:
    process = start("print('x' * 10_000_000)")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    _, errors = process.communicate(timeout=30)
    assert (errors, process.returncode) == ("", 141)


def test_another_broken_pipe_is_a_defect(finish: Finish) -> None:
    _, errors, code = finish("raise BrokenPipeError('ours')")
    assert errors.endswith("BrokenPipeError: ours\n")
    assert code == 1


def test_a_defect_keeps_its_traceback(finish: Finish) -> None:
    _, errors, code = finish("raise IndexError('ours')")
    assert "Traceback" in errors
    assert errors.endswith("IndexError: ours\n")
    assert code == 1


def test_bad_params_stop_it_before_it_runs(finish: Finish, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text().replace("batch_size:", "bach_size:", 1))
    output, errors, code = finish("print('runs')")
    assert "did you mean 'batch_size'" in errors
    assert "runs" not in output
    assert code == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_stops_it_gets_no_traceback(start: Start, number: signal.Signals, code: int) -> None:
    process = start(
        """
        try:
            print("ready")
            time.sleep(60)
        finally:
            print("cleaned up")
        """
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    assert lines[1] == "ready\n"
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert output == "cleaned up\n"
    assert errors == "toy: stopped before its end; 'dvc repro' takes it up again\n"
    assert process.returncode == code


def test_ctrl_c_during_imports_is_silent(project: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.train_baseline"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(1.5)  # TensorFlow takes longer
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == -signal.SIGINT


def test_a_stopped_stage_ends_its_runs(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing answers there, so that what is recorded stays in the journal.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    process = start("tracker.run('toy', 'key')\nprint('ready')\ntime.sleep(60)")
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        pass
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert time.monotonic() - began < 10  # who stops a stage does not wait for MLflow
    (journal,) = tmp_path.glob(".journal/[0-9]*/events.jsonl")
    assert '"event": "end", "status": "KILLED"' in journal.read_text()


def test_third_parties_are_silent_and_we_are_not(finish: Finish) -> None:
    _, errors, _ = finish(
        """
        import logging
        warnings.warn_explicit("theirs", UserWarning, "x.py", 1, module="keras.models")
        logging.getLogger("absl").warning("theirs")
        warnings.warn_explicit("careful with this", UserWarning, "y.py", 1, module="pipeline.training.x")
        """
    )
    assert errors == "warning: careful with this\n"


def test_threads_reach_the_numerical_libraries(finish: Finish, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(re.sub(r"(?m)^threads: \d+", "threads: 1", params.read_text()))
    output, _, _ = finish(
        """
        import numpy, threadpoolctl
        print([os.environ[f"TF_NUM_{kind}_THREADS"] for kind in ("INTRAOP", "INTEROP")])
        print({pool["num_threads"] for pool in threadpoolctl.threadpool_info()})
        """
    )
    assert output.splitlines()[1] == "['1', '1']"
    assert output.splitlines()[2] in ("{1}", "set()")  # set(): NumPy is loaded later and reads the variables


def test_a_python_without_the_packages_says_what_to_do(project: Path) -> None:
    # -S leaves out the installed packages, as another Python would.
    done = subprocess.run(
        [sys.executable, "-S", "-m", "pipeline.fetch"], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"The pipeline's packages are not installed for {sys.executable}.\n")
    assert ". .venv/bin/activate" in done.stderr


def test_the_server_does_with_the_packages_of_its_own_list(project: Path, tmp_path: Path) -> None:
    """requirements-serve.lock has neither Keras nor MLflow; what needs them says so there."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name in ('keras', 'mlflow') else find(name, *rest)\n"
    )

    def started(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{project}"},
            capture_output=True,
            text=True,
        )

    assert started("serve").stderr.startswith("serve: No model has been published here yet.")
    assert started("predict", "a.png").stderr.startswith("predict: No model has been published here yet.")
    assert started("export", "serve").stderr.startswith("The pipeline's packages are not installed for ")


def test_a_package_that_is_missing_is_named(finish: Finish) -> None:
    _, errors, code = finish("import onnxruntime_of_nobody.session")
    assert errors.startswith(
        f"toy: The package onnxruntime_of_nobody is not installed for {sys.executable}.\n"
    )
    assert ("Traceback" in errors, code) == (False, 1)


@pytest.mark.slow
def test_tensorflow_obeys_the_threads_although_it_is_imported_before(project: Path) -> None:
    source = """
        import sys
        import tensorflow
        from pipeline.execution.process_setup import limit_threads
        limit_threads(int(sys.argv[1]))
        import psutil
        before = psutil.Process().num_threads()
        ones = tensorflow.ones((600, 600))
        (ones @ ones).numpy()
        print(psutil.Process().num_threads() - before)
    """
    made = [
        int(
            subprocess.run(
                [sys.executable, "-c", textwrap.dedent(source), str(count)],
                env={**os.environ, "PYTHONPATH": str(project)},
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for count in (1, 4)
    ]
    assert made[1] - made[0] >= 3
