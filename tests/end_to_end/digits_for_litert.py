"""The classifier of digits that needs no training, in the formats that TensorFlow converts it to."""

from pathlib import Path

import onnx
from onnx import numpy_helper

from pipeline.inference.exported_model import publish, serving_folder
from pipeline.inference.preprocessing import PreprocessingSpec
from tests.serving.digits_model import CLASSES, SIZE, export_digits
from tests.serving.tiny_model import describe

NAME = "digits"


def export_for_litert(exports: Path) -> Path:
    """Write exports/digits/1 and exports/tensorflow_serving/digits/1; returns the former, published."""
    import keras

    from pipeline.deployment.litert import convert_to_dynamic_int8, convert_to_float32
    from pipeline.deployment.saved_model import write_bare_saved_model, write_saved_model

    folder = export_digits(exports, NAME)
    constants = onnx.load(folder / "onnx.onnx").graph.initializer
    values = {constant.name: numpy_helper.to_array(constant) for constant in constants}
    layers = [
        keras.Input((SIZE, SIZE, 3), dtype="uint8"),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(len(CLASSES), activation="softmax"),
    ]
    network = keras.Sequential(layers)
    network.layers[-1].set_weights([values["weights"], values["offsets"]])
    spec = PreprocessingSpec(SIZE, "pad", "rgb", CLASSES)
    write_saved_model(network, spec, serving_folder(exports, NAME, 1))
    write_bare_saved_model(network, spec, exports / "bare")
    paths = {"onnx": folder / "onnx.onnx"}
    for name, convert in (
        ("litert_fp32", convert_to_float32),
        ("litert_dynamic_int8", convert_to_dynamic_int8),
    ):
        paths[name] = folder / f"{name}.tflite"
        paths[name].write_bytes(convert(exports / "bare"))
    describe(folder, NAME, 1, paths, CLASSES, SIZE)
    publish(exports, folder)
    return folder
