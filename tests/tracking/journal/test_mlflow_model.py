"""What a logged model takes for images, with a network that needs no Keras."""

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.images import decoding
from pipeline.inference.preprocessing import PreprocessingSpec

# MLflow 3.17 warns of type hints of its own when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

SPEC = PreprocessingSpec(image_size=8, resize="pad", color="rgb", classes=("dark", "bright"))

Predict = Callable[[Any], pd.DataFrame]


class MeanBrightness:
    """Says how dark and how bright an image is, and remembers how many images it got at once."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        assert images.dtype == np.uint8
        assert images.shape[1:] == SPEC.shape
        self.batches.append(len(images))
        bright = images.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - bright, bright], axis=1).astype(np.float32)


@pytest.fixture
def network() -> MeanBrightness:
    return MeanBrightness()


@pytest.fixture
def predict(network: MeanBrightness) -> Predict:
    """The model's `predict`, as it stands in a logged model."""
    from pipeline.tracking.journal.mlflow_model import ImageClassifier

    model = ImageClassifier()
    model.network, model.decoding, model.preprocessing = network, decoding, SPEC.to_json()
    return lambda model_input: model.predict(None, model_input)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, *SPEC.shape), dtype=np.uint8)


@pytest.fixture
def files() -> list[bytes]:
    """Three encoded images, none of the network's size: PNG, JPEG, and PNG with a palette."""
    generator = np.random.default_rng(1)
    sizes = [(20, 20, "PNG", "RGB"), (33, 17, "JPEG", "RGB"), (9, 30, "PNG", "P")]
    encoded = []
    for width, height, form, mode in sizes:
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, form)
        encoded.append(buffer.getvalue())
    return encoded


def test_pixels_give_a_column_per_class(predict: Predict, images: np.ndarray) -> None:
    found = predict(images)
    assert list(found.columns) == ["dark", "bright"]
    assert set(found.dtypes) == {np.dtype("float32")}
    assert found["bright"].to_numpy() == pytest.approx(images.mean(axis=(1, 2, 3)) / 255)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(lambda files: files, id="a list of bytes"),
        pytest.param(lambda files: np.array(files, dtype=object), id="an array of objects"),
        pytest.param(lambda files: pd.Series(files), id="a series"),
        pytest.param(lambda files: pd.DataFrame({"image": files}), id="a table with one column"),
        pytest.param(lambda files: {"image": np.array(files, dtype=object)}, id="a dictionary"),
        pytest.param(lambda files: list(map(bytearray, files)), id="a list of bytearrays"),
    ],
)
def test_encoded_images_are_seen_as_the_pipeline_sees_them(
    predict: Predict, files: list[bytes], given: Callable[..., Any]
) -> None:
    expected = predict(np.stack([SPEC.apply(data) for data in files]))
    pd.testing.assert_frame_equal(predict(given(files)), expected, check_exact=True)


def test_one_encoded_image(predict: Predict, files: list[bytes]) -> None:
    pd.testing.assert_frame_equal(predict(files[0]), predict(files[:1]), check_exact=True)


def served(body: dict[str, Any]) -> Any:
    """A request's body as `mlflow models serve` hands it to a model without an input schema."""
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    return infer_and_parse_data(json.loads(json.dumps(body)))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda texts: {"inputs": texts}, id="inputs"),
        pytest.param(lambda texts: {"instances": texts}, id="instances"),
        pytest.param(lambda texts: {"inputs": {"image": texts}}, id="inputs by name"),
        pytest.param(
            lambda texts: {"instances": [{"image": text} for text in texts]}, id="instances by name"
        ),
        pytest.param(
            lambda texts: {"dataframe_split": {"columns": ["image"], "data": [[text] for text in texts]}},
            id="dataframe_split",
        ),
        pytest.param(
            lambda texts: {"dataframe_records": [{"image": text} for text in texts]}, id="dataframe_records"
        ),
    ],
)
def test_encoded_images_from_a_server_are_base64(
    predict: Predict, files: list[bytes], body: Callable[[list[str]], dict[str, Any]]
) -> None:
    # encodebytes breaks its lines, as MLflow's own encoder does.
    texts = [base64.encodebytes(data).decode() for data in files]
    pd.testing.assert_frame_equal(predict(served(body(texts))), predict(files), check_exact=True)


def test_pixels_from_a_server_are_plain_whole_numbers(predict: Predict, images: np.ndarray) -> None:
    for key in ("inputs", "instances"):
        found = predict(served({key: images.tolist()}))
        pd.testing.assert_frame_equal(found, predict(images), check_exact=True)


def test_many_images_are_decoded_a_few_at_a_time(
    predict: Predict, network: MeanBrightness, files: list[bytes]
) -> None:
    predict(files * 100)
    assert network.batches == [256, 44]


def test_no_images_give_no_rows(predict: Predict, images: np.ndarray) -> None:
    none_at_all: list[Any] = [images[:0], [], np.array([], dtype=object)]
    for nothing in none_at_all:
        found = predict(nothing)
        assert (len(found), list(found.columns)) == (0, ["dark", "bright"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda images, files: images / 2, "Pixels that are not whole numbers"),
        (lambda images, files: images > 9, "Wrong type bool: expected uint8 images"),
        (lambda images, files: images[:, :4], r"Wrong shape \(3, 4, 8, 3\): .* \(N, 8, 8, 3\)"),
        (lambda images, files: images[0], r"Wrong shape \(8, 8, 3\): .*put a single image into a list"),
        (lambda images, files: [images[0], images[0, :4]], "differ in shape"),
        (lambda images, files: images.astype(int) + 1, r"Pixels from \d+ to 256"),
        (lambda images, files: None, r"Wrong shape \(\)"),
        (
            lambda images, files: [files[0], b"no image"],
            r"Image 1 \(the first is 0\) cannot be read: none",
        ),
        (lambda images, files: [files[0], files[1][:100]], "Image 1 .* cannot be read"),
        (lambda images, files: [*files * 100, b"no image"], r"Image 300 \(the first is 0\)"),
        (lambda images, files: ["?!"], "Image 0 .* neither bytes nor base64"),
        (lambda images, files: [files[0], None], "Image 1 .* but NoneType"),
        (lambda images, files: np.array(files), "dtype=object"),
        (lambda images, files: pd.DataFrame({"a": files, "b": files}), "one column .*found 2"),
    ],
)
def test_what_is_wrong_is_said(
    predict: Predict, images: np.ndarray, files: list[bytes], given: Callable[..., Any], message: str
) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=message):
        predict(given(images, files))


def test_grayscale_networks_take_one_channel(files: Any) -> None:
    from pipeline.tracking.journal.mlflow_model import ImageClassifier

    class Network:
        def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
            assert images.shape[1:] == (8, 8, 1)
            return np.zeros((len(images), 2), dtype=np.float32)

    model = ImageClassifier()
    model.network, model.decoding = Network(), decoding
    model.preprocessing = {**SPEC.to_json(), "color": "grayscale"}
    assert len(model.predict(None, files)) == 3
    assert len(model.predict(None, np.zeros((2, 8, 8, 1), dtype=np.uint8))) == 2
