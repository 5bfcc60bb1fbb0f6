"""`predict` on files, folders and standard input, with a network whose answers are known by heart."""

import io
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.commands.addresses.address import parse_address
from pipeline.commands.models.predict import predict
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.store import Store
from tests.serving.tiny_model import export, published

Predict = Callable[..., tuple[int, list[dict[str, Any]]]]


def draw(path: Path, level: int) -> str:
    """An image of one gray level, of another size than the network's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (level, level, level)).save(path)
    return str(path)


@pytest.fixture
def ready(workspace: Workspace) -> Workspace:
    """A workspace with a published export."""
    published(workspace.exports, export(workspace.exports))
    return workspace


@pytest.fixture
def predict_json(ready: Workspace, capsys: pytest.CaptureFixture[str]) -> Predict:
    """Runs the command; returns its exit code and the lines of JSON that it has printed."""

    def run(*images: str, model: str | None = None, top: int = 1, format_name: str | None = None) -> Any:
        address = None if model is None else parse_address(model)
        with Store(ready) as store:
            code = predict(ready, store, images, address, top, True, format_name)
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_the_class_and_its_probability(predict_json: Predict, tmp_path: Path) -> None:
    code, (answer,) = predict_json(draw(tmp_path / "a.png", 204))
    assert code == 0
    assert answer == {
        "image": str(tmp_path / "a.png"),
        "predictions": [{"class": "bright", "probability": 0.8}],
    }


def test_the_most_probable_classes_in_order(predict_json: Predict, tmp_path: Path) -> None:
    image = draw(tmp_path / "a.png", 51)
    for top, classes in (
        (2, ["dark", "bright"]),
        (3, ["dark", "bright", "never"]),
        (9, ["dark", "bright", "never"]),
    ):
        _, (answer,) = predict_json(image, top=top)
        assert [each["class"] for each in answer["predictions"]] == classes


def test_folders_are_searched_for_images(predict_json: Predict, tmp_path: Path) -> None:
    for name, level in (("b/2.JPG", 0), ("b/1.png", 255), ("a/deep/3.webp", 255)):
        draw(tmp_path / "images" / name, level)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    code, answers = predict_json(str(tmp_path / "images"))
    assert code == 0
    names = [str(Path(each["image"]).relative_to(tmp_path / "images")) for each in answers]
    assert names == ["a/deep/3.webp", "b/1.png", "b/2.JPG"]
    assert [each["predictions"][0]["class"] for each in answers] == ["bright", "bright", "dark"]


def test_a_broken_image_costs_its_own_row(predict_json: Predict, tmp_path: Path) -> None:
    good, broken = draw(tmp_path / "good.png", 255), tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    (tmp_path / "empty").mkdir()
    code, answers = predict_json(str(broken), str(tmp_path / "missing.png"), str(tmp_path / "empty"), good)
    assert code == 1
    assert "none of PNG, JPEG" in answers[0]["error"]
    assert answers[1]["error"] == "No such file or directory"
    assert answers[2]["error"] == "no image in this folder"
    assert answers[3]["predictions"][0]["class"] == "bright"


def test_an_image_on_standard_input(
    predict_json: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Path(draw(tmp_path / "a.png", 0)).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    code, (answer,) = predict_json("-")
    assert (code, answer["image"]) == (0, "standard input")
    assert answer["predictions"] == [{"class": "dark", "probability": 1.0}]


def test_images_are_printed_as_they_come(
    ready: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = draw(tmp_path / "1.png", 0), draw(tmp_path / "2.png", 255)
    read = Path.read_bytes
    printed_before_second = []

    def reading(path: Path) -> bytes:
        if path == Path(second):
            printed_before_second.append(capsys.readouterr().out)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", reading)
    predict(ready, Store(ready), [first, second], None, 1, True, None)
    assert "1.png" in printed_before_second[0]


def test_the_table_has_names_bars_and_percent(
    ready: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = draw(tmp_path / "a.png", 204)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    assert predict(ready, Store(ready), [image, str(broken)], None, 2, False, None) == 1
    head, first, second, failed = capsys.readouterr().out.splitlines()
    assert head == "light 1: brightness, onnx, 90.00 % [85.00, 94.00] of 100 test images"
    assert first.split()[-4:] == ["bright", "█" * 19 + "▎", "80.0", "%"]
    assert first.split()[0].endswith("a.png")
    assert second.split() == ["dark", "█" * 4 + "▊", "20.0", "%"]
    assert "none of PNG" in failed
    assert first.index("bright") == second.index("dark") == failed.index("none of")


def test_the_model_is_named_by_folder_name_or_version(
    predict_json: Predict, ready: Workspace, tmp_path: Path
) -> None:
    image = draw(tmp_path / "a.png", 255)
    inverted = export(ready.exports, version=10, inverted=True)
    assert predict_json(image)[1][0]["predictions"][0]["class"] == "bright"  # the published one
    for model in ("light", "light/10", str(inverted)):
        assert predict_json(image, model=model)[1][0]["predictions"][0]["class"] == "dark", model
    assert predict_json(image, model="light/1")[1][0]["predictions"][0]["class"] == "bright"


def test_a_model_that_is_not_there_is_an_error(predict_json: Predict) -> None:
    with pytest.raises(PipelineError, match="Nothing is called 'heavy'") as caught:
        predict_json("a.png", model="heavy")
    assert "exports here: light/1" in str(caught.value)


def test_without_an_export_the_error_says_what_makes_one(workspace: Workspace) -> None:
    with pytest.raises(PipelineError, match="python -m pipeline export"):
        predict(workspace, Store(workspace), ["a.png"], None, 1, False, None)


def test_a_format_that_was_not_exported_is_an_error(predict_json: Predict) -> None:
    with pytest.raises(PipelineError, match="was not exported as litert_int8"):
        predict_json("a.png", format_name="litert_int8")


@pytest.fixture
def start(ready: Workspace, project: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the command in a process of its own."""

    def started(image: str, as_json: bool) -> subprocess.Popen[str]:
        program = f"""
            import sys
            from pathlib import Path
            from pipeline.commands.models.predict import predict
            from pipeline.execution.failures import failures_explained
            from pipeline.foundation.workspace import Workspace
            from pipeline.tracking.store import Store
            workspace = Workspace.from_environment()
            with failures_explained("predict"):
                code = predict(workspace, Store(workspace), [{image!r}], None, 1, {as_json}, None)
            large = {{"tensorflow", "keras", "mlflow", "pandas", "sklearn"}}
            print(sorted(large & set(sys.modules)), file=sys.stderr)
            sys.exit(code)
        """
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            cwd=ready.root,
            env={**os.environ, "PYTHONPATH": str(project)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return started


def test_it_imports_no_large_library(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    output, errors = start(draw(tmp_path / "a.png", 0), True).communicate()
    assert json.loads(output)["predictions"][0]["class"] == "dark"
    assert errors == "[]\n"


@pytest.mark.parametrize("as_json", [True, False])
def test_a_reader_that_has_seen_enough_is_no_failure(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, as_json: bool
) -> None:
    for number in range(300):
        draw(tmp_path / "many" / f"{number}.png", 0)
    process = start(str(tmp_path / "many"), as_json)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(30)
