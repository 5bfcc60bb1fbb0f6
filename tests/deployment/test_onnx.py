"""The ONNX file of a really trained network, run by ONNX Runtime."""

from pathlib import Path

import keras
import numpy as np
import onnxruntime

from pipeline.deployment.onnx import convert_to_onnx
from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import ImageArrays
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.training.trained_model import TrainedModel


def test_onnx_runtime_gives_the_probabilities_of_keras(
    model: TrainedModel, trained_project: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(convert_to_onnx(model.network, model.card.preprocessing))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert [(each.name, each.type) for each in session.get_inputs()] == [("image", "tensor(uint8)")]
    assert [each.name for each in session.get_outputs()] == ["probabilities"]

    images = np.asarray(ImageArrays.load(trained_project.arrays / "test").images)
    for count in (1, len(images)):
        (found,) = session.run(None, {"image": images[:count]})
        np.testing.assert_allclose(found, model.predict(images[:count], 64), atol=1e-5)


def test_constants_of_layers_keep_their_values() -> None:
    """As in EfficientNet, whose first layer is a Normalization with fixed figures."""
    image = keras.Input((2, 2, 1), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1.0)(image)
    x = keras.layers.Normalization(mean=[7.0], variance=[16.0])(x)
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    spec = PreprocessingSpec(2, "pad", "grayscale", ("only",))
    session = onnxruntime.InferenceSession(convert_to_onnx(network, spec), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": np.full((1, 2, 2, 1), 15, dtype=np.uint8)})
    np.testing.assert_allclose(found, [[2.0]], atol=1e-6)  # (15 - 7) / 4
