"""The command around the exporting process: which model, where to, and what is kept when a check fails."""

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.commands.addresses import trained_files
from pipeline.commands.addresses.address import parse_address
from pipeline.commands.models import export as command
from pipeline.commands.models.export import export
from pipeline.deployment import exporting, litert
from pipeline.deployment.job import ExportJob
from pipeline.deployment.measuring import Speed
from pipeline.deployment.parity import encoded_copies
from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import EXIT_REFUSED, PipelineError
from pipeline.foundation.files import read_json, write_json
from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import ImageArrays
from pipeline.inference.exported_model import ExportedModel, Latency, published
from pipeline.inference.predictor import load_predictor
from pipeline.serving.application import Settings
from pipeline.tracking.registry.registry import Registry
from pipeline.tracking.store import Store
from pipeline.training.keras_file import save_stable
from pipeline.training.trained_model import TrainedModel
from tests.deployment.tiny_project import make_project
from tests.serving.live_server import LiveServer
from tests.training.tiny import files as bytes_of_files

Export = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def trained_project(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project with a trained network. Not to be changed."""
    return make_project(tmp_path_factory.mktemp("trained"), project / "params.yaml")


@pytest.fixture
def ready(trained_project: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of it; the work is done in this process, and nothing is timed, which takes seconds."""
    shutil.copytree(trained_project.root, workspace.root, dirs_exist_ok=True)
    speed = Speed(Latency(1.0, 2.0), 1000.0, 0.5)
    monkeypatch.setattr(exporting, "measure_speed", lambda *arguments: speed)
    monkeypatch.setattr(ExportJob, "run", lambda job, say: exporting.export(job))
    return workspace


@pytest.fixture
def run(ready: Workspace) -> Export:
    """Runs the command; returns its exit code and all that it has said."""

    def exported(model: str | None, *formats: str) -> tuple[int, str]:
        lines: list[str] = []
        address = None if model is None else parse_address(model)
        with Store(ready) as store:
            code = export(ready, store, address, formats, lines.append)
        return code, "\n".join(lines)

    return exported


@pytest.fixture
def damaging(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dynamic int8 format becomes another network: all of it is trained on nothing."""
    black = np.zeros((1, 16, 16, 1), dtype=np.uint8)
    monkeypatch.setattr(
        litert, "convert_to_dynamic_int8", lambda folder: litert.convert_to_int8(folder, black)
    )


def test_an_export_is_a_folder_that_predicts_what_the_model_does(
    run: Export, ready: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run("best", "litert_fp32", "saved_model")
    assert code == 0

    folder = published(ready.exports)
    assert folder == ready.exports / "baseline" / "1"
    exported = ExportedModel.load(folder)
    model = TrainedModel.load(ready.model("baseline"))
    images = np.asarray(ImageArrays.load(ready.arrays / "test").images)
    found = load_predictor(exported, folder, "litert_fp32").predict(images)
    np.testing.assert_allclose(found, model.predict(images, 64), atol=1e-5)
    assert exported.model_digest == model.card.model_digest
    assert exported.preprocessing == model.card.preprocessing
    assert list(exported.files) == ["saved_model", "litert_fp32"]
    assert exported.scores.images == len(images)
    assert exported.lineage["stage"] == "train_baseline"
    assert exported.lineage["data_digest"] == model.card.data_digest

    serving = ready.exports / "tensorflow_serving" / "baseline" / "1"
    assert (serving / "saved_model.pb").exists()
    assert exported.file(folder, "saved_model").resolve() == serving.resolve()

    assert "exported to exports/baseline/1" in said
    assert "for TensorFlow Serving: exports/tensorflow_serving/baseline/1" in said
    assert "published" in said
    assert "there is no MLflow store here" in said
    table = capsys.readouterr().out
    assert [line.split()[0] for line in table.splitlines() if line.endswith("passed ")] == [
        "saved_model",
        "litert_fp32",
    ]
    assert "1.00 (2.00)" in table


def test_the_server_answers_as_the_trained_network_does(run: Export, ready: Workspace) -> None:
    """By both protocols, from JPEG and PNG files of other sizes than the network's."""
    assert run("best", "litert_fp32")[0] == 0
    model = TrainedModel.load(ready.model("baseline"))
    preprocessing = model.card.preprocessing
    images = np.asarray(ImageArrays.load(ready.arrays / "test").images)
    files = list(encoded_copies(images[:24]))
    expected = model.predict(np.stack([preprocessing.apply(data) for data in files]), 64)
    with LiveServer(Settings(folder=published(ready.exports))).running() as server:
        results = server.upload(*files).json()["results"]
        instances = [{"b64": base64.b64encode(data).decode()} for data in files]
        body = {"signature_name": "serve_bytes", "instances": instances}
        rows = server.post("/v1/models/baseline:predict", json=body).json()["predictions"]
    named = [{each["name"]: each["probability"] for each in result["classes"]} for result in results]
    found = [[probabilities[name] for name in preprocessing.classes] for probabilities in named]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(rows, expected, atol=1e-4)


def test_only_the_best_candidate_is_published(run: Export, ready: Workspace) -> None:
    assert run("baseline", "onnx")[0] == 0
    assert (ready.exports / "baseline" / "1").exists()
    with pytest.raises(PipelineError):
        published(ready.exports)


def test_a_damaged_export_is_refused_and_nothing_is_left(
    run: Export, ready: Workspace, damaging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run("best", "saved_model", "litert_fp32", "litert_dynamic_int8")
    assert code == EXIT_REFUSED
    assert list(ready.exports.rglob("*")) == []
    assert "litert_dynamic_int8: images lost, test subset" in said
    assert "at most 2" in said
    assert "python -m pipeline export best --format saved_model --format litert_fp32" in said
    assert "failed" in capsys.readouterr().out


def test_a_refusal_leaves_an_earlier_export_as_it_was(
    run: Export, ready: Workspace, request: pytest.FixtureRequest
) -> None:
    assert run("best", "onnx", "litert_fp32")[0] == 0
    before = bytes_of_files(ready.exports)
    request.getfixturevalue("damaging")
    assert run("best", "onnx", "litert_dynamic_int8")[0] == EXIT_REFUSED
    assert bytes_of_files(ready.exports) == before


def test_an_interruption_leaves_nothing(
    run: Export, ready: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(job: Any, say: Any) -> None:
        (job.files / "half.tflite").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(ExportJob, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("best", "saved_model", "litert_fp32")
    assert [path for path in ready.exports.rglob("*") if path.is_file()] == []


def test_more_formats_of_the_same_model_join_the_ones_there_are(run: Export, ready: Workspace) -> None:
    run("best", "litert_fp32", "saved_model")
    first = ExportedModel.load(published(ready.exports)).files
    run("best", "onnx")
    folder = published(ready.exports)
    exported = ExportedModel.load(folder)
    assert folder == ready.exports / "baseline" / "1"
    assert list(exported.files) == ["saved_model", "onnx", "litert_fp32"]
    assert {name: exported.files[name] for name in first} == first
    for name in exported.files:
        assert exported.file(folder, name).exists()


def test_a_format_whose_file_is_gone_is_left_out(run: Export, ready: Workspace) -> None:
    run("best", "litert_fp32", "saved_model")
    (published(ready.exports) / "litert_fp32.tflite").unlink()
    code, said = run("best", "onnx")
    assert code == 0
    assert "left out: litert_fp32. " in said
    assert list(ExportedModel.load(published(ready.exports)).files) == ["saved_model", "onnx"]


def test_formats_that_were_compared_on_other_test_images_are_left_out(run: Export, ready: Workspace) -> None:
    run("best", "litert_fp32")
    folder = published(ready.exports)
    values = read_json(folder / "export.json")
    write_json(folder / "export.json", {**values, "scores": {**values["scores"], "images": 1}})
    code, said = run("best", "onnx")
    assert code == 0
    assert "left out, as they were compared with the model on other test images: litert_fp32" in said
    assert list(ExportedModel.load(folder).files) == ["onnx"]
    assert not (folder / "litert_fp32.tflite").exists()


def test_another_model_of_a_candidate_is_another_version(run: Export, ready: Workspace) -> None:
    run("best", "onnx")
    change_weights(ready.model("baseline"))
    run("best", "onnx")
    folders = [ready.exports / "baseline" / str(number) for number in (1, 2)]
    first, second = map(ExportedModel.load, folders)
    assert first.model_digest != second.model_digest
    assert (first.version, second.version) == (1, 2)
    assert published(ready.exports) == folders[1]


def change_weights(folder: Path) -> None:
    model = TrainedModel.load(folder)
    classifier = model.network.get_layer("classifier")
    classifier.set_weights([weight * 1.001 for weight in classifier.get_weights()])
    save_stable(model.network, folder / "model.keras")
    write_json(
        folder / "card.json",
        {**read_json(folder / "card.json"), "model_digest": digest_file(folder / "model.keras")},
    )


def test_a_model_file_and_its_folder_are_models_too(run: Export, ready: Workspace, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(ready.model("baseline"), copy)
    for given in (copy, copy / "model.keras"):
        assert run(str(given), "onnx")[0] == 0
    assert (ready.exports / "baseline" / "1" / "onnx.onnx").exists()


def test_a_name_that_is_no_model_is_an_error(run: Export) -> None:
    with pytest.raises(PipelineError, match="Nothing is called 'bset'") as caught:
        run("bset", "onnx")
    assert "did you mean 'best'?" in str(caught.value)


def test_an_export_is_not_exported_again(run: Export, ready: Workspace) -> None:
    assert run("best", "onnx")[0] == 0
    with pytest.raises(PipelineError, match="is an export") as caught:
        run("published", "onnx")
    assert caught.value.remedy == "type the same command with baseline instead"


def test_a_format_that_does_not_exist_is_an_error(run: Export) -> None:
    with pytest.raises(PipelineError, match="There is no format 'tflite'") as caught:
        run("best", "onnx", "tflite")
    assert "litert_int8" in str(caught.value)


def test_a_network_that_is_not_its_cards_is_an_error(run: Export, ready: Workspace) -> None:
    with (ready.model("baseline") / "model.keras").open("ab") as file:
        file.write(b"more")
    with pytest.raises(PipelineError, match=r"does not belong to the model\.keras"):
        run("best", "onnx")


def test_images_of_another_kind_are_an_error(run: Export, ready: Workspace) -> None:
    path = ready.arrays / "preprocessing.json"
    write_json(path, {**read_json(path), "classes": ["dark", "bright", "dotted"], "resize": "crop"})
    with pytest.raises(PipelineError, match="resize, classes differ") as caught:
        run("best", "onnx")
    assert "dotted" in str(caught.value)
    assert not ready.exports.exists()


def test_images_that_a_model_has_not_learned_from_are_mentioned(run: Export, ready: Workspace) -> None:
    labels = np.load(ready.arrays / "train" / "labels.npy")
    np.save(ready.arrays / "train" / "labels.npy", labels[::-1])
    code, said = run("best", "onnx")
    assert code == 0
    assert "trained on other images" in said


@pytest.fixture
def registered(ready: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Version 7 of the registered model is the baseline; MLflow itself is not asked."""

    def register(is_champion: bool) -> None:
        def download(store: Store, name: str, number: int, folder: Path) -> Path:
            assert (name, number) == ("image-classifier", 7)
            return Path(shutil.copytree(ready.model("baseline"), folder / "artifacts"))

        lineage = {"git_commit": "c" * 40, "run_id": "r" * 32}
        monkeypatch.setattr(command, "champion", lambda *arguments: 7 if is_champion else None)
        monkeypatch.setattr(command, "tags_of_version", lambda *arguments: lineage)
        monkeypatch.setattr(trained_files, "download_version", download)
        monkeypatch.setattr(Registry, "aliased", lambda self, alias: 7)

    return register


def test_the_champion_is_exported_where_nobody_names_a_model(
    run: Export, ready: Workspace, registered: Callable[[bool], None]
) -> None:
    registered(True)
    code, said = run(None, "onnx")
    assert code == 0
    folder = published(ready.exports)
    assert folder == ready.exports / "image-classifier" / "7"
    exported = ExportedModel.load(folder)
    assert (exported.name, exported.version, exported.candidate) == ("image-classifier", 7, "baseline")
    assert exported.lineage == {"git_commit": "c" * 40, "run_id": "r" * 32}
    assert "exporting version 7 of image-classifier" in said


def test_another_version_is_exported_and_not_published(
    run: Export, ready: Workspace, registered: Callable[[bool], None]
) -> None:
    registered(False)
    assert run("models:/image-classifier/7", "onnx")[0] == 0
    assert (ready.exports / "image-classifier" / "7" / "export.json").exists()
    with pytest.raises(PipelineError):
        published(ready.exports)


def test_where_there_is_no_champion_it_is_the_best(run: Export, ready: Workspace) -> None:
    assert run(None, "onnx")[0] == 0
    assert published(ready.exports) == ready.exports / "baseline" / "1"


@pytest.fixture
def silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")


def test_a_silent_server_costs_the_record_alone(run: Export, ready: Workspace, silent_server: None) -> None:
    code, said = run("best", "onnx")
    assert code == 0
    assert published(ready.exports).exists()
    assert "The lineage is what git and DVC know" in said
    assert "not recorded: MLflow could not be reached" in said


def test_a_silent_server_does_not_let_best_stand_in_for_the_champion(
    run: Export, ready: Workspace, silent_server: None
) -> None:
    with pytest.raises(PipelineError, match="MLflow could not be reached"):
        run(None, "onnx")
    assert not ready.exports.exists()
