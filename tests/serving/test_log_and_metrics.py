"""What the server tells of itself: enough to run it, nothing of what was uploaded."""

import io
import json
import logging
import re

import pytest
import requests

from pipeline.serving.http.event_log import EventLog, LibraryLog
from pipeline.serving.routes import prediction
from tests.serving.conftest import StartServer
from tests.serving.live_server import LiveServer, encoded, until


def metric(server: LiveServer, name: str) -> float:
    """The value of a line of /metrics, given with its labels."""
    text = server.get("/metrics").text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_metrics(start: StartServer) -> None:
    server = start()
    assert server.get("/metrics").headers["content-type"].startswith("text/plain; version=")
    server.upload(encoded(255), encoded(26), b"x")  # bright for sure, dark at 0.9, no image
    server.upload(b"x")
    server.post("/v1/models/light:predict", json={"instances": []})
    server.get("/somewhere/else")
    until(lambda: server.log.count('"event": "request"') == 5)
    counted = 'pipeline_requests_total{method="POST",route="/api/predict",status='
    assert metric(server, counted + '"200"}') == 1
    assert metric(server, counted + '"415"}') == 1
    assert (
        metric(
            server, 'pipeline_requests_total{method="POST",route="/v1/models/{name}:predict",status="400"}'
        )
        == 1
    )
    assert metric(server, 'pipeline_requests_total{method="GET",route="other",status="404"}') == 1
    assert metric(server, 'pipeline_request_seconds_count{route="/api/predict"}') == 2
    assert metric(server, 'pipeline_predictions_total{predicted="bright"}') == 1
    assert metric(server, 'pipeline_predictions_total{predicted="dark"}') == 1
    assert metric(server, 'pipeline_refused_images_total{status="415"}') == 2
    assert metric(server, 'pipeline_confidence_bucket{le="0.8"}') == 0
    assert metric(server, 'pipeline_confidence_bucket{le="0.9"}') == 1
    assert metric(server, 'pipeline_confidence_bucket{le="1.0"}') == 2
    model = 'pipeline_model{candidate="baseline",digest="%s",format="onnx",name="light",network="brightness"'
    assert metric(server, model % f"{1:064d}" + ',version="1"}') == 1
    assert metric(server, "process_resident_memory_bytes") > 1e6


def test_clients_cannot_invent_metrics(start: StartServer) -> None:
    """Each would stay in memory for as long as the server runs."""
    server = start()
    for number in range(3):
        assert requests.request(f"M{number}", server.url + "/api/predict", timeout=10).status_code == 405
        server.get(f"/nothing/{number}")
        server.get(f"/v1/models/{number}")
    until(lambda: server.log.count('"event": "request"') == 9)
    text = server.get("/metrics").text
    assert re.findall(r"^pipeline_requests_total(.*) ", text, re.MULTILINE) == [
        '{method="other",route="/api/predict",status="405"}',
        '{method="GET",route="other",status="404"}',
        '{method="GET",route="/v1/models/{name}",status="404"}',
    ]
    assert "M1" not in server.log


def test_readiness(server: LiveServer) -> None:
    assert server.get("/healthz").json() == {"status": "ok"}
    ready = server.get("/readyz").json()
    assert ready["model"] == {"name": "light", "version": 1}
    assert ready["workers"] == 2


def test_the_log_is_json_and_says_nothing_of_content(start: StartServer) -> None:
    server = start()
    secret = "passport-of-somebody"
    response = server.post(f"/api/predict?{secret}", files={"files": (f"{secret}.png", encoded(0))})
    server.get(f"/{secret}")
    server.post("/v1/models/light:predict", data=secret)
    until(lambda: server.log.count('"event": "request"') == 3)
    events = [json.loads(line) for line in server.log.splitlines()]
    asked = [event for event in events if event["event"] == "request"]
    assert [(event["route"], event["status"]) for event in asked] == [
        ("/api/predict", 200),
        ("other", 404),
        ("/v1/models/{name}:predict", 400),
    ]
    assert set(asked[0]) == {"time", "event", "id", "method", "route", "status", "ms"}
    assert asked[0]["id"] == response.headers["X-Request-ID"]
    assert asked[0]["ms"] > 0
    assert secret not in server.log


def test_libraries_say_what_has_happened_but_not_to_what() -> None:
    written = io.StringIO()
    handler = LibraryLog(EventLog(written))
    for name, message, arguments in (
        ("asyncio", "Task exception was never retrieved\nfuture: <secret>", ()),
        ("uvicorn.error", "Unsupported upgrade to %s.", ("secret",)),
        ("python_multipart.multipart", "Expected boundary character 45, got 115 at index 2", ()),
    ):
        handler.handle(logging.LogRecord(name, logging.WARNING, __file__, 1, message, arguments, None))
    events = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(event["logger"], event["message"]) for event in events] == [
        ("asyncio", "Task exception was never retrieved"),
        ("uvicorn.error", "Unsupported upgrade to %s."),
    ]


def test_a_defect_is_logged_with_its_place_and_answered_without(
    start: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ValueError("what somebody has uploaded")

    monkeypatch.setattr(prediction, "_by_probability", broken)
    server = start()
    response = server.upload(encoded(0))
    assert (response.status_code, response.json()) == (500, {"error": "internal error"})
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    until(lambda: '"event": "defect"' in server.log)
    defect = next(event for event in map(json.loads, server.log.splitlines()) if event["event"] == "defect")
    assert defect["id"] == response.headers["X-Request-ID"]
    assert defect["what"].startswith("ValueError at ")
    assert "test_log_and_metrics.py" in defect["what"]
    assert "uploaded" not in server.log
    assert "Traceback" not in response.text + server.log
