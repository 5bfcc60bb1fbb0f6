"""A real network in the MLflow store, loaded where the pipeline is not installed."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.foundation.digests import digest_file
from pipeline.tracking.delivery import deliver

pytestmark = [
    # MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    pytest.mark.slow,
]

CLASSES = ["cat", "dog", "a, bird"]


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
    preprocessing = {"image_size": 8, "resize": "pad", "color": "rgb", "classes": CLASSES}
    card = {"candidate": "baseline", "network": "fast_cnn", "preprocessing": preprocessing}
    (folder / "card.json").write_text(json.dumps(card))
    return folder, images, np.asarray(network.predict_on_batch(images))


def test_it_predicts_the_same_without_our_package(
    trained, tracker, shared_workspace, store, journal_of, start_script, tmp_path
):
    folder, images, expected = trained
    digest = digest_file(folder / "model.keras")
    with tracker(shared_workspace) as recording, recording.run("baseline", "model") as run:
        run.log_model(folder, digest)
    assert deliver(journal_of(shared_workspace), store)
    (logged,) = store.client.search_logged_models([store.experiment_id("tests")])
    np.save(tmp_path / "images.npy", images)

    process = start_script(
        f"""
        import importlib.util, sys
        assert importlib.util.find_spec("pipeline") is None
        import mlflow, numpy as np
        mlflow.set_tracking_uri({store.address!r})
        model = mlflow.pyfunc.load_model("models:/{logged.model_id}")
        probabilities = model.predict(np.load("images.npy"))
        np.save("probabilities.npy", probabilities.to_numpy())
        print(list(probabilities.columns), probabilities.to_numpy().dtype)
        signature = model.metadata.signature
        print(signature.inputs.inputs[0].shape, signature.inputs.inputs[0].type)
        print(signature.outputs.inputs[0].shape, signature.outputs.inputs[0].type)
        try:
            model.predict(np.load("images.npy").astype("float32"))
        except mlflow.exceptions.MlflowException:
            print("refused")
        """,
        tmp_path,
        PYTHONPATH="",
    )
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert output.splitlines() == [
        f"{CLASSES} float32",
        "(-1, 8, 8, 3) uint8",
        "(-1, 3) float32",
        "refused",
    ]
    assert "type hints" not in errors
    np.testing.assert_allclose(np.load(tmp_path / "probabilities.npy"), expected, atol=1e-6)
    requirements = next(shared_workspace.tracking_artifacts.rglob("requirements.txt")).read_text()
    assert {line.partition("==")[0] for line in requirements.splitlines()} >= {"keras", "numpy", "mlflow"}
