"""The exporting process from outside."""

from pathlib import Path

import pytest

from pipeline.deployment.job import ExportJob
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.params.whole import load_params


@pytest.fixture
def job(trained_project: Workspace, tmp_path: Path) -> ExportJob:
    params = load_params(trained_project.params)
    return ExportJob(
        model=trained_project.model("baseline"),
        arrays=trained_project.arrays,
        files=tmp_path,
        saved_model=tmp_path,
        formats=("litert_fp32",),
        export=params.export,
        evaluate=params.evaluate,
        seed=0,
        threads=1,
    )


@pytest.mark.slow
def test_the_real_process(job: ExportJob, tmp_path: Path) -> None:
    lines: list[str] = []
    result = job.run(lines.append)
    assert lines[0] == "loading the network"
    assert lines[-1].startswith("litert_fp32: written in")
    assert (tmp_path / "litert_fp32.tflite").stat().st_size == result.formats["litert_fp32"].file.size_bytes
    assert not any("WARNING" in line for line in lines)


@pytest.mark.slow
def test_an_error_of_the_real_process_is_raised_here(job: ExportJob) -> None:
    missing = ExportJob(**{**vars(job), "arrays": job.arrays / "nowhere"})
    with pytest.raises(PipelineError, match=r"labels\.npy is missing|images\.npy is missing"):
        missing.run(lambda line: None)
