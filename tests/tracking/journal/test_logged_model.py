"""A real network in the MLflow store, loaded where the pipeline is not installed."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.images.decoding import FORMATS
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.tracking.journal.delivery import deliver
from pipeline.tracking.journal.logged_model import DECODING_CODE
from pipeline.tracking.registry.model_use import EncodedFiles, use_model
from pipeline.tracking.store import Store
from tests.tracking.conftest import JournalOf, MakeTracker, StartScript

pytestmark = [
    # MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    pytest.mark.slow,
]

CLASSES = ["cat", "dog", "a, bird"]
SPEC = PreprocessingSpec(image_size=8, resize="pad", color="rgb", classes=tuple(CLASSES))


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """A trained-model folder, some images, and what the network says about them."""
    import keras

    from pipeline.images.arrays import ChannelStatistics
    from pipeline.networks.from_scratch import build_from_scratch
    from pipeline.networks.precision import in_float32
    from pipeline.training.keras_file import save_stable

    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    statistics = ChannelStatistics(mean=(120.0, 121.0, 122.0), std=(60.0, 61.0, 62.0))

    def build() -> keras.Model:
        return build_from_scratch("fast_cnn", images, len(CLASSES), statistics, [4, 8], 0.0)

    network = in_float32(build(), build)
    folder = tmp_path / "model"
    folder.mkdir()
    save_stable(network, folder / "model.keras")
    card = {
        "candidate": "baseline",
        "network": "fast_cnn",
        "preprocessing": SPEC.to_json(),
        "model_digest": digest_file(folder / "model.keras"),
    }
    (folder / "card.json").write_text(json.dumps(card))
    return folder, images, np.asarray(network.predict_on_batch(images))


@pytest.fixture
def logged(
    trained: tuple[Path, np.ndarray, np.ndarray],
    tracker: MakeTracker,
    shared_workspace: Workspace,
    store: Store,
    journal_of: JournalOf,
) -> str:
    """Address of the model in the store."""
    folder, _, _ = trained
    digest = digest_file(folder / "model.keras")
    with tracker(shared_workspace) as recording:
        open_run = recording.run("baseline", "model")
        open_run.log_model(folder, digest)
    assert deliver(journal_of(shared_workspace), store)
    (run, *_) = store.find_runs("tests", {"model_digest": digest})
    (model,) = store.logged_models_of(run, digest)
    return f"models:/{model.model_id}"


@pytest.fixture
def files(tmp_path: Path) -> EncodedFiles:
    """Three photographs, none of the network's size, one behind the other in a file: PNG, JPEG, WebP."""
    generator = np.random.default_rng(1)
    encoded = []
    for width, height, form in ((40, 30, "PNG"), (17, 33, "JPEG"), (8, 20, "WEBP")):
        buffer = io.BytesIO()
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, form)
        encoded.append(buffer.getvalue())
    path = tmp_path / "photographs"
    path.write_bytes(b"".join(encoded))
    sizes = [len(data) for data in encoded]
    return EncodedFiles(path, [sum(sizes[:index]) for index in range(3)], sizes)


def bytes_of(files: EncodedFiles) -> list[bytes]:
    data = files.path.read_bytes()
    return [data[start : start + size] for start, size in zip(files.offsets, files.sizes, strict=True)]


def test_it_predicts_the_same_without_our_package(
    trained: tuple[Path, np.ndarray, np.ndarray],
    logged: str,
    files: EncodedFiles,
    shared_workspace: Workspace,
    store: Store,
    start_script: StartScript,
    tmp_path: Path,
) -> None:
    _, images, expected = trained
    np.save(tmp_path / "images.npy", images)
    photographs = bytes_of(files)
    for index, data in enumerate(photographs):
        (tmp_path / f"{index}.bin").write_bytes(data)
    np.save(tmp_path / "decoded.npy", np.stack([SPEC.apply(data) for data in photographs]))

    process = start_script(
        f"""
        import importlib.util, pathlib, sys
        assert importlib.util.find_spec("pipeline") is None
        import mlflow, numpy as np
        mlflow.set_tracking_uri({store.address!r})
        model = mlflow.pyfunc.load_model({logged!r})
        probabilities = model.predict(np.load("images.npy"))
        np.save("probabilities.npy", probabilities.to_numpy())
        print(list(probabilities.columns), probabilities.to_numpy().dtype)
        photographs = [pathlib.Path(f"{{index}}.bin").read_bytes() for index in range(3)]
        print(model.predict(photographs).equals(model.predict(np.load("decoded.npy"))))
        print(model.predict(photographs[1]).equals(model.predict(photographs[1:2])))
        signature = model.metadata.signature
        print(signature.inputs, signature.outputs.inputs[0].shape, signature.outputs.inputs[0].type)
        for wrong in (np.load("images.npy") / np.float32(255), [photographs[0], b"no image"]):
            try:
                model.predict(wrong)
            except mlflow.exceptions.MlflowException as error:
                print(error)
        print([name for name in sys.modules if name.partition(".")[0] == "pipeline"])
        """,
        tmp_path,
        PYTHONPATH="",
    )
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert output.splitlines() == [
        f"{CLASSES} float32",
        "True",
        "True",
        "None (-1, 3) float32",
        "Pixels that are not whole numbers: expected uint8 images of shape (N, 8, 8, 3) or encoded images, "
        "0 to 255.",
        f"Image 1 (the first is 0) cannot be read: none of {', '.join(FORMATS)}.",
        "[]",
    ]
    assert "type hints" not in errors
    np.testing.assert_allclose(np.load(tmp_path / "probabilities.npy"), expected, atol=1e-6)
    saved = next(shared_workspace.tracking_artifacts.rglob("requirements.txt"))
    required = {line.partition("==")[0] for line in saved.read_text().splitlines()}
    assert required >= {"keras", "numpy", "mlflow", "pillow"}
    assert not list(saved.parent.rglob("*.pkl")), "models from code, nothing pickled"
    carried = saved.parent / "artifacts" / "decoding.py"
    assert carried.read_bytes() == DECODING_CODE.read_bytes()


def test_a_process_of_its_own_uses_it_as_anybody_would(
    trained: tuple[Path, np.ndarray, np.ndarray], logged: str, files: EncodedFiles, store: Store
) -> None:
    _, images, expected = trained
    said: list[str] = []
    use = use_model(store, logged, said.append, pixels=images, encoded=files, repetitions=7, threads=1)
    assert use.classes == tuple(CLASSES)
    np.testing.assert_allclose(use.pixels, expected, atol=1e-6)
    assert (use.encoded.shape, use.encoded.dtype) == ((3, 3), np.dtype(np.float32))
    assert use.milliseconds.shape == (7,)
    assert (use.milliseconds > 0).all()
    assert said == ["loading the model as its users do (TensorFlow takes about ten seconds)"]

    with pytest.raises(PipelineError, match=r"models:/m-0 cannot be used through MLflow.\n.*m-0"):
        use_model(store, "models:/m-0", said.append, pixels=images)


def test_a_network_whose_weights_were_changed_is_not_used(
    logged: str, shared_workspace: Workspace, store: Store
) -> None:
    (network,) = shared_workspace.tracking_artifacts.rglob("artifacts/model.keras")
    network.write_bytes(network.read_bytes() + b"\0")
    with pytest.raises(PipelineError, match="is not the network that was logged"):
        use_model(store, logged, lambda text: None, pixels=np.zeros((1, 8, 8, 3), np.uint8))
