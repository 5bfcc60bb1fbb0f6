"""export.json, the files beside it, and the pointer to the published export."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_json
from pipeline.inference.exported_model import (
    EXACT_FORMATS,
    EXPORT_FILE,
    FORMATS,
    LITERT_FORMATS,
    POINTER_FILE,
    PRUNED_FORMATS,
    ExportedModel,
    publish,
    published,
    serving_folder,
)
from tests.serving.tiny_model import export


def test_saved_and_loaded(tmp_path: Path) -> None:
    folder = export(tmp_path)
    exported = ExportedModel.load(folder)
    exported.save(tmp_path)
    assert ExportedModel.load(tmp_path) == exported
    assert exported.preprocessing.classes == ("bright", "dark", "never")


def test_every_format_is_named_once() -> None:
    assert len(set(FORMATS)) == len(FORMATS) == 8
    assert set(LITERT_FORMATS) | set(EXACT_FORMATS) == set(FORMATS)
    assert set(PRUNED_FORMATS) < set(LITERT_FORMATS)


def test_a_file_is_found_by_its_format(tmp_path: Path) -> None:
    folder = export(tmp_path)
    assert ExportedModel.load(folder).file(folder, "onnx") == folder / "onnx.onnx"


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = export(tmp_path)
    with (folder / "onnx.onnx").open("ab") as file:
        file.write(b"more")
    with pytest.raises(PipelineError, match=r"onnx\.onnx is not the file that was exported"):
        ExportedModel.load(folder).file(folder, "onnx")


def test_a_file_that_is_missing_or_was_never_made_is_named(tmp_path: Path) -> None:
    folder = export(tmp_path)
    (folder / "onnx.onnx").unlink()
    exported = ExportedModel.load(folder)
    with pytest.raises(PipelineError, match=r"onnx\.onnx is missing") as caught:
        exported.file(folder, "onnx")
    assert caught.value.remedy == "export the model again: python -m pipeline export models:/light/1"
    with pytest.raises(PipelineError, match="was not exported as litert_int8") as caught:
        exported.file(folder, "litert_int8")
    assert caught.value.found == "onnx"
    assert caught.value.remedy == "python -m pipeline export models:/light/1 --format litert_int8"


def test_the_model_behind_an_export_is_named_so_that_commands_find_it(tmp_path: Path) -> None:
    exported = ExportedModel.load(export(tmp_path))
    assert exported.original == "models:/light/1"
    assert replace(exported, name="tuned").original == "1" * 32, "its run"
    assert replace(exported, name="tuned", lineage={}).original == "tuned"


@pytest.mark.parametrize(("name", "model"), [("light", "models:/light/7"), ("tuned", "tuned")])
def test_of_a_damaged_export_the_folder_says_what_it_was(tmp_path: Path, name: str, model: str) -> None:
    with pytest.raises(PipelineError, match="is missing") as caught:
        ExportedModel.load(tmp_path / name / "7")
    assert caught.value.remedy == f"export the model again: python -m pipeline export {model}"


def test_a_saved_model_lies_beside_the_exports(tmp_path: Path) -> None:
    folder = export(tmp_path)
    exported = ExportedModel.load(folder)
    place = serving_folder(tmp_path, exported.name, exported.version)
    place.mkdir(parents=True)
    assert place == tmp_path / "tensorflow_serving" / "light" / "1"
    described = replace(exported.files["onnx"], path="../../tensorflow_serving/light/1")
    exported = replace(exported, files={"saved_model": described})
    assert exported.file(folder, "saved_model").resolve() == place.resolve()


@pytest.mark.parametrize("values", [{}, {"name": "x"}, {"preprocessing": 1, "files": {}}])
def test_another_json_file_is_refused(tmp_path: Path, values: dict[str, object]) -> None:
    write_json(tmp_path / EXPORT_FILE, values)
    with pytest.raises(PipelineError, match="does not describe an exported model"):
        ExportedModel.load(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"null"])
def test_a_file_that_is_damaged_says_what_makes_it_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / EXPORT_FILE).write_bytes(content)
    with pytest.raises(PipelineError, match="python -m pipeline export"):
        ExportedModel.load(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"null", b"{}"])
def test_a_damaged_pointer_says_what_makes_it_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / POINTER_FILE).write_bytes(content)
    with pytest.raises(PipelineError, match="python -m pipeline export"):
        published(tmp_path)


def test_a_folder_without_export_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="python -m pipeline export"):
        ExportedModel.load(tmp_path)


def test_the_published_export_is_found_also_where_the_project_was_moved(tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    publish(exports, export(exports))
    publish(exports, export(exports, version=2))
    assert published(exports) == exports / "light" / "2"
    moved = exports.rename(tmp_path / "elsewhere")
    assert published(moved) == moved / "light" / "2"


@pytest.mark.parametrize(
    ("named", "allowed"),
    [
        *((name, True) for name in ("photos (v2)/1", "cats & dogs/12", "tiere, größe/3", "..a/1")),
        *((name, False) for name in ("../1", "./1", "a/b/1", "/1", "a/..", "a/ 1", "a/\u0661", "a")),
        *((name, False) for name in ("a\n/1", "a\\b/1")),
        ("a" * 300 + "/1", False),
    ],
)
def test_a_pointer_names_a_folder_of_exports(tmp_path: Path, named: str, allowed: bool) -> None:
    (tmp_path / POINTER_FILE).write_text(json.dumps({"folder": named}))
    if allowed:
        assert published(tmp_path) == tmp_path / named
    else:
        with pytest.raises(PipelineError, match="does not name an exported model"):
            published(tmp_path)


def test_without_an_export_nothing_is_published(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="No model has been published"):
        published(tmp_path)
