"""TensorFlow Serving's protocol: requests as its REST documentation writes them.

https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import json
from typing import Any

import numpy as np
import pytest

from tests.serving.conftest import StartServer
from tests.serving.live_server import LiveServer, encoded

PREDICT = "/v1/models/light:predict"
DARK, BRIGHT = [0.2, 0.8, 0.0], [0.8, 0.2, 0.0]
"""Of images of levels 51 and 204."""


Image = list[list[list[int]]]
"""Rows of pixels of channels."""


def pixels(level: int) -> Image:
    image: Image = np.full((8, 8, 3), level).tolist()
    return image


def with_fractions(level: int) -> Any:
    return json.loads(json.dumps(pixels(level)).replace(str(level), f"{level}.0"))


def b64(level: int) -> dict[str, str]:
    return {"b64": base64.b64encode(encoded(level, 20, 20)).decode()}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"instances": [pixels(51), pixels(204)]}, id="rows"),
        pytest.param({"instances": [{"image": pixels(51)}, {"image": pixels(204)}]}, id="named rows"),
        pytest.param(
            {"signature_name": "serving_default", "instances": [pixels(51), pixels(204)]}, id="a signature"
        ),
        pytest.param({"instances": [with_fractions(51), with_fractions(204)]}, id="whole numbers as 51.0"),
        pytest.param({"signature_name": "serve_bytes", "instances": [b64(51), b64(204)]}, id="encoded rows"),
        pytest.param(
            {
                "signature_name": "serve_bytes",
                "instances": [{"image_bytes": b64(51)}, {"image_bytes": b64(204)}],
            },
            id="named encoded rows",
        ),
    ],
)
def test_rows(server: LiveServer, body: dict[str, Any]) -> None:
    # As `curl -d` sends it, whose type says nothing of JSON.
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = server.post(PREDICT, data=json.dumps(body), headers=headers)
    assert response.status_code == 200, response.text
    np.testing.assert_allclose(response.json()["predictions"], [DARK, BRIGHT], atol=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"inputs": [pixels(51), pixels(204)]}, id="columns"),
        pytest.param({"inputs": {"image": [pixels(51), pixels(204)]}}, id="named columns"),
        pytest.param(
            {"signature_name": "serve_bytes", "inputs": {"image_bytes": [b64(51), b64(204)]}},
            id="encoded columns",
        ),
    ],
)
def test_columns(server: LiveServer, body: dict[str, Any]) -> None:
    response = server.post("/v1/models/light/versions/1:predict", json=body)
    assert response.status_code == 200, response.text
    np.testing.assert_allclose(response.json()["outputs"], [DARK, BRIGHT], atol=1e-6)


def test_more_images_than_one_step_takes(server: LiveServer) -> None:
    levels = [number % 256 for number in range(100)]
    answer = server.post(PREDICT, json={"instances": [pixels(level) for level in levels]}).json()
    np.testing.assert_allclose(
        [row[0] for row in answer["predictions"]], [level / 255 for level in levels], atol=1e-6
    )


@pytest.mark.parametrize("path", ["/v1/models/light", "/v1/models/light/versions/1"])
def test_status(server: LiveServer, path: str) -> None:
    response = server.get(path)
    assert response.json() == {
        "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }


@pytest.mark.parametrize("path", ["/v1/models/light/metadata", "/v1/models/light/versions/1/metadata"])
def test_metadata(server: LiveServer, path: str) -> None:
    response = server.get(path)
    metadata = response.json()
    assert metadata["model_spec"] == {"name": "light", "signature_name": "", "version": "1"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    arrays = signatures["serving_default"]
    assert arrays["method_name"] == "tensorflow/serving/predict"
    assert arrays["inputs"]["image"]["dtype"] == "DT_UINT8"
    sizes = [dimension["size"] for dimension in arrays["inputs"]["image"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", "8", "8", "3"]
    assert signatures["serve_bytes"]["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    assert signatures["serve_bytes"]["outputs"]["probabilities"]["dtype"] == "DT_FLOAT"


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/v1/models/half", 404, "Could not find any versions of model half"),
        ("GET", "/v1/models/light/versions/7", 404, "Could not find version 7 of model light"),
        ("GET", "/v1/models/half/metadata", 404, "Servable not found for request: Latest(half)"),
        ("POST", "/v1/models/half:predict", 404, "Servable not found for request: Latest(half)"),
        (
            "POST",
            "/v1/models/light/versions/7:predict",
            404,
            "Servable not found for request: Specific(light, 7)",
        ),
        ("GET", "/v1/models/light/versions/x", 400, "the version is not a number of 64 bits"),
        # Python converts neither so many digits, nor digits of other scripts as a client means them.
        ("GET", f"/v1/models/light/versions/{'9' * 5000}", 400, "the version is not a number of 64 bits"),
        ("GET", "/v1/models/light/versions/\u0661", 400, "the version is not a number of 64 bits"),
        (
            "POST",
            "/v1/models/light:classify",
            400,
            "Expected tensorflow/serving/classify signature. Was: tensorflow/serving/predict",
        ),
        ("POST", "/v1/models/light:train", 400, "Malformed request: expected :predict"),
        ("GET", "/v1/models/light:predict", 405, "Method Not Allowed"),
        ("GET", "/v1/models/light/versions/1:predict", 405, "Method Not Allowed"),
    ],
)
def test_what_is_not_served(server: LiveServer, method: str, path: str, status: int, error: str) -> None:
    response = server.get(path) if method == "GET" else server.post(path, json={"instances": [pixels(0)]})
    assert (response.status_code, response.json()) == (status, {"error": error})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(b"{", "JSON Parse error", id="no JSON"),
        pytest.param(b"[1]", "not a JSON object", id="no object"),
        pytest.param(b"[" * 1_000_000, "JSON Parse error", id="a million levels deep"),
        pytest.param(b"{}", "either 'instances' or 'inputs'", id="neither form"),
        pytest.param(b'{"instances": [], "inputs": []}', "either 'instances' or 'inputs'", id="both forms"),
        pytest.param(b'{"instances": []}', "at least one value", id="nothing"),
        pytest.param(b'{"instances": [[1, 2]]}', "[N, 8, 8, 3]", id="another shape"),
        pytest.param(b'{"instances": [[1], [1, 2]]}', "[N, 8, 8, 3]", id="ragged"),
        pytest.param(b'{"instances": ["a"]}', "[N, 8, 8, 3]", id="text"),
        pytest.param(
            b'{"instances": [{"b64": "AA=="}]}', '"signature_name": "serve_bytes"', id="bytes as array"
        ),
        pytest.param(b'{"instances": [{"picture": 1}]}', "named input, 'image'", id="another name"),
        pytest.param(
            b'{"signature_name": "other", "inputs": [1]}', "not found in signature def", id="signature"
        ),
        pytest.param(b'{"signature_name": 3, "inputs": [1]}', "must be a string", id="signature's type"),
        pytest.param(
            b'{"signature_name": "serve_bytes", "instances": [{"b64": "?"}]}', "base64 decode", id="no base64"
        ),
        pytest.param(
            b'{"signature_name": "serve_bytes", "instances": [1]}', "serve_bytes takes", id="array as bytes"
        ),
        pytest.param(
            b'{"signature_name": "serve_bytes", "instances": [{"b64": "AAAA"}]}',
            "image 0: not an image",
            id="no image",
        ),
    ],
)
def test_a_body_that_does_not_fit(server: LiveServer, body: bytes, error: str) -> None:
    response = server.post(PREDICT, data=body)
    assert response.status_code == 400
    assert error in response.json()["error"]


@pytest.mark.parametrize("value", [256, -1, 0.5, True])
def test_levels_that_are_not_bytes(server: LiveServer, value: float) -> None:
    image = np.full((8, 8, 3), value).tolist()
    response = server.post(PREDICT, json={"instances": [image]})
    assert response.status_code == 400
    assert "whole numbers from 0 to 255" in response.json()["error"]


def test_limits_of_size_and_number(start: StartServer) -> None:
    server = start(images=2, body_bytes=100_000)
    assert server.post(PREDICT, json={"instances": [pixels(0)] * 2}).status_code == 200
    response = server.post(PREDICT, json={"instances": [pixels(0)] * 3})
    assert (response.status_code, response.json()) == (413, {"error": "more than 2 images in one request"})
    response = server.post(PREDICT, json={"instances": [pixels(0)] * 300})
    assert (response.status_code, response.json()) == (413, {"error": "the request has more than 0.1 MB"})
