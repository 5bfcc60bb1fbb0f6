"""A program of its own: its result, its lines, and what is said when it breaks. `json.tool` stands in."""

import json
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.processes.child_process import raise_saved_error, run_program, save_error


def test_the_program_reads_the_job_and_writes_the_result(tmp_path: Path) -> None:
    job, result = tmp_path / "job.json", tmp_path / "result.json"
    job.write_text('{"a": 1}')
    run_program("json.tool", job, result, "formatting", lambda line: None)
    assert json.loads(result.read_text()) == {"a": 1}


def test_a_program_without_a_result_shows_the_end_of_its_log(tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    job.write_text("no json")
    with pytest.raises(PipelineError, match="The formatting process has ended with exit code 1") as caught:
        run_program("json.tool", job, tmp_path / "result.json", "formatting", lambda line: None)
    assert "Expecting value" in str(caught.value)


def test_an_error_comes_back_whole(tmp_path: Path) -> None:
    error = PipelineError("What.", expected="this", found="that", remedy="so")
    save_error(tmp_path / "result.json", error)
    with pytest.raises(PipelineError) as caught:
        raise_saved_error(json.loads((tmp_path / "result.json").read_text()))
    assert str(caught.value) == str(error)
    raise_saved_error({"layer": "conv"})
