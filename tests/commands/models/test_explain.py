"""`explain` on files, folders and standard input; the process that needs TensorFlow is a stand-in here."""

import io
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pipeline.commands.addresses.address import parse_address
from pipeline.commands.addresses.trained_files import TrainedFiles
from pipeline.commands.models import explain as command
from pipeline.commands.models.explain import explain
from pipeline.explanation.job import ExplainJob, ExplainResult
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.tracking.store import Store
from tests.inference.test_model_card import card

CLASSES = ("dark", "bright", "never")
CARD = replace(card(), network="brightness", preprocessing=PreprocessingSpec(8, "pad", "rgb", CLASSES))
Explain = Callable[..., int]


def draw(path: Path, level: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (level, level, level)).save(path)
    return str(path)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[ExplainJob]:
    """The jobs that the process was given; it tells bright images from dark ones."""
    given: list[ExplainJob] = []

    def run(job: ExplainJob, say: Callable[[str], None]) -> ExplainResult:
        given.append(job)
        bright = np.load(job.images)[: job.count].mean(axis=(1, 2, 3)) / 255
        probabilities = np.stack([1 - bright, bright, 0 * bright], axis=1).astype(np.float32)
        return ExplainResult(
            "hires_cam", "block2_add", probabilities, np.eye(4, dtype=np.float32)[None].repeat(job.count, 0)
        )

    monkeypatch.setattr(ExplainJob, "run", run)
    monkeypatch.setattr(command, "trained_files", lambda finder, found: TrainedFiles(Path("models"), CARD))
    return given


@pytest.fixture
def run(workspace: Workspace, project: Path, jobs: list[ExplainJob]) -> Explain:
    shutil.copy(project / "params.yaml", workspace.params)

    def start(
        *images: str,
        model: str = "baseline",
        class_name: str | None = None,
        top: int = 1,
        output: Path | None = None,
    ) -> int:
        return explain(
            workspace, Store(workspace), images, parse_address(model), class_name, output, top, print
        )

    return start


def pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_picture_and_a_row_for_every_image(
    run: Explain, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(draw(tmp_path / "in" / "a.png", 204), draw(tmp_path / "in" / "b.png", 0), top=2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("explaining 2")
    assert lines[1] == "baseline: brightness; heatmaps from layer block2_add"
    assert lines[2].split()[1:] == ["bright", lines[2].split()[2], "80.0", "%"]
    assert "dark" in lines[3]
    assert "20.0 %" in lines[3]
    assert lines[4].endswith("a-explained.png")
    assert pictures(workspace.explained_images) == ["a-explained.png", "b-explained.png"]
    with Image.open(workspace.explained_images / "a-explained.png") as picture:
        assert picture.width > 1000


def test_a_broken_image_costs_its_own_row_only(
    run: Explain, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_text("no image")
    images = str(tmp_path / "broken.png"), str(tmp_path / "absent.png"), draw(tmp_path / "a.png", 204)
    assert run(*images) == 1
    output = capsys.readouterr().out
    assert "none of PNG" in output
    assert "No such file" in output
    assert "80.0 %" in output
    assert pictures(workspace.explained_images) == ["a-explained.png"]


def test_without_a_readable_image_no_process_is_started(
    run: Explain, jobs: list[ExplainJob], workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("absent.png") == 1
    assert jobs == []
    assert not workspace.explained_images.exists()
    assert "No such file" in capsys.readouterr().out


def test_images_of_the_same_name_have_pictures_of_their_own(run: Explain, tmp_path: Path) -> None:
    draw(tmp_path / "in" / "x" / "a.png", 0)
    draw(tmp_path / "in" / "y" / "a.jpg", 255)
    assert run(str(tmp_path / "in"), output=tmp_path / "out") == 0
    assert pictures(tmp_path / "out") == ["a-explained-2.png", "a-explained.png"]


def test_a_picture_never_replaces_the_image_beside_which_it_is_written(run: Explain, tmp_path: Path) -> None:
    image = Path(draw(tmp_path / "a.png", 0))
    before = image.read_bytes()
    assert run(str(image), output=tmp_path) == 0
    assert image.read_bytes() == before


def test_standard_input(
    run: Explain, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Path(draw(tmp_path / "a.png", 204)).read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert run("-") == 0
    assert pictures(workspace.explained_images) == ["standard-input-explained.png"]


def test_the_class_that_is_asked_for(run: Explain, jobs: list[ExplainJob], tmp_path: Path) -> None:
    image = draw(tmp_path / "a.png", 204)
    run(image)
    run(image, class_name="never")
    assert [job.label for job in jobs] == [None, 2]
    with pytest.raises(PipelineError, match="has no class 'nevr'") as caught:
        run(image, class_name="nevr")
    assert caught.value.expected == "one of dark, bright, never"


def test_a_model_that_is_not_there(run: Explain) -> None:
    with pytest.raises(PipelineError, match="Nothing is called 'nothing'"):
        run("a.png", model="nothing")


def test_a_file_where_the_folder_should_be(run: Explain, tmp_path: Path) -> None:
    image = draw(tmp_path / "a.png", 0)
    with pytest.raises(PipelineError, match="--output names a file"):
        run(image, output=Path(image))
