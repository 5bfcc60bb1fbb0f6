"""Another model takes over while requests come in: none is lost, none is answered by half of each."""

import asyncio
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from pipeline.inference.exported_model import publish
from pipeline.serving import following
from pipeline.serving.application import Settings
from pipeline.serving.following import Follower, Following
from pipeline.serving.limits import Limits
from pipeline.serving.routes.health import Readiness
from pipeline.serving.served_model import ModelSwitch
from tests.serving.conftest import StartServer
from tests.serving.live_server import LiveServer, encoded, until
from tests.serving.tiny_model import export, published

BRIGHT = encoded(204)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.3)


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """Version 1 is published; version 2, the other way round, only exported; version 3 is damaged."""
    published(tmp_path, export(tmp_path))
    export(tmp_path, version=2, inverted=True)
    damaged = export(tmp_path, version=3)
    (damaged / "onnx.onnx").write_bytes(b"no model")
    return tmp_path


class Load:
    """Clients that ask as quickly as they can; `answers` are status, version and predicted class."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[tuple[int, int, str]] = []
        self._stop = threading.Event()

    @contextmanager
    def running(self, clients: int = 4) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _ask(self) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                files = [("files", (f"{number}.png", BRIGHT)) for number in range(3)]
                response = session.post(f"{self.url}/api/predict", files=files, timeout=30)
                values = response.json()
                predicted = {result["predicted"] for result in values["results"]}
                assert len(predicted) == 1, "answered half by each"
                self.answers.append((response.status_code, values["model"]["version"], predicted.pop()))


def readiness(server: LiveServer) -> Readiness:
    return Readiness.model_validate(server.get("/readyz").json())


def version(server: LiveServer) -> int:
    return readiness(server).model.version


def test_a_published_export_takes_over_under_load(exports: Path, start: StartServer) -> None:
    others = set(psutil.Process().children())
    server = start(folder=exports / "light" / "1", exports=exports, workers=2)
    old_workers = set(psutil.Process().children()) - others
    with Load(server.url).running() as load:
        until(lambda: len(load.answers) > 20)
        publish(exports, exports / "light" / "2")
        until(lambda: load.answers[-1][1] == 2)
        seen = len(load.answers)
        until(lambda: len(load.answers) > seen + 20)
    assert {status for status, _, _ in load.answers} == {200}
    assert {(number, predicted) for _, number, predicted in load.answers} == {(1, "bright"), (2, "dark")}
    versions = [number for _, number, _ in load.answers]
    # Answers that were begun on the old model may come after the first of the new one, but not for long.
    assert 1 not in versions[versions.index(2) + 8 :]
    until(lambda: not old_workers & set(psutil.Process().children()))
    assert server.get("/v1/models/light/versions/1").status_code == 404
    assert server.get("/v1/models/light/versions/2").status_code == 200


def test_a_long_request_ends_on_the_model_that_it_began_on(exports: Path, start: StartServer) -> None:
    server = start(folder=exports / "light" / "1", exports=exports)
    large = encoded(204, 3000, 3000)
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(server.upload(*[large] * 12).json()))
    asking.start()
    publish(exports, exports / "light" / "2")
    until(lambda: version(server) == 2)
    assert asking.is_alive(), "the test needs a request that takes longer than the change"
    asking.join()
    assert answers[0]["model"]["version"] == 1
    assert [result["predicted"] for result in answers[0]["results"]] == ["bright"] * 12


@pytest.mark.parametrize(
    "what",
    [
        *("damaged", "missing", "{", "[]", "{}", "\xff", "null", "7"),
        *('{"folder": "/"}', '{"folder": ""}', '{"folder": 7}', '{"folder": "light"}'),
        '{"folder": "light/2/"}',
        *('{"folder": "../light/2"}', '{"folder": "light/../../2"}', '{"folder": "../../evil/7"}'),
        *('{"folder": "/tmp/7"}', '{"folder": "light/\\ud800"}', '{"folder": "light\\u0000/2"}'),
    ],
)
def test_what_cannot_be_served_leaves_the_model_that_answers(
    exports: Path, start: StartServer, what: str
) -> None:
    server = start(folder=exports / "light" / "1", exports=exports)
    if what not in ("damaged", "missing"):
        (exports / "published.json").write_text(what, encoding="latin-1")
        time.sleep(0.4)
    else:
        publish(exports, exports / "light" / ("3" if what == "damaged" else "9"))
        until(lambda: state(server).problem)
        problem = state(server).problem or ""
        assert problem == f"light/{3 if what == 'damaged' else 9} cannot be served"
        assert server.get("/api/model").json()["following"]["problem"] == problem
        assert "not followed" in server.log
    assert version(server) == 1
    assert server.upload(BRIGHT).json()["results"][0]["predicted"] == "bright"
    publish(exports, exports / "light" / "2")
    until(lambda: version(server) == 2)
    assert state(server).problem is None


def test_a_defect_does_not_end_the_following(
    exports: Path, start: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(folder=exports / "light" / "1", exports=exports)
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.1)
    with monkeypatch.context() as broken:

        def fail(self: Follower) -> None:
            raise RuntimeError(f"{exports}/secret")

        broken.setattr(Follower, "_published", fail)
        until(lambda: state(server).problem)
    problem = state(server).problem or ""
    assert problem == "following has failed"
    publish(exports, exports / "light" / "2")
    until(lambda: version(server) == 2)
    until(lambda: state(server).problem is None)


def test_without_following_nothing_changes(exports: Path, start: StartServer) -> None:
    server = start(folder=exports / "light" / "1")
    publish(exports, exports / "light" / "2")
    time.sleep(0.4)
    assert version(server) == 1
    assert state(server).published is False


WATCHER = """
import pathlib, sys, time
said = 0
while True:
    lines = pathlib.Path(sys.argv[1]).read_text().splitlines()
    for line in lines[said:]:
        print(line, flush=True)
    said = len(lines)
    time.sleep(0.05)
"""


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """What the watcher of a test says: a line each."""
    path = tmp_path / "said.txt"
    path.write_text('{"version": null}\n')
    return path


@pytest.fixture
def watcher(said: Path) -> tuple[str, ...]:
    """Command of a watcher that repeats what `said` says."""
    return (sys.executable, "-c", WATCHER, str(said))


@pytest.fixture
def watched(exports: Path, watcher: tuple[str, ...], start: StartServer) -> LiveServer:
    return start(folder=exports / "light" / "1", exports=exports, watcher=watcher)


def say(said: Path, line: str) -> None:
    with said.open("a") as file:
        file.write(line + "\n")


def state(server: LiveServer) -> Following:
    return readiness(server).following


def test_the_champion_takes_over(watched: LiveServer, said: Path) -> None:
    until(lambda: state(watched).registry)
    say(said, '{"version": 2}')
    until(lambda: version(watched) == 2)
    assert state(watched) == Following(published=True, registry=True, champion_version=2, problem=None)
    say(said, '{"version": 1}')  # rolled back
    until(lambda: version(watched) == 1)


def test_a_champion_without_export_is_waited_for(watched: LiveServer, said: Path, exports: Path) -> None:
    say(said, '{"version": 5}')
    until(lambda: state(watched).problem)
    assert state(watched).problem == (
        "the champion of light is version 5, which is not exported here; "
        "run python -m pipeline export models:/light@champion"
    )
    assert version(watched) == 1
    shutil.copytree(export(exports / "elsewhere", version=5), exports / "light" / "5")
    until(lambda: version(watched) == 5)
    assert state(watched).problem is None


def test_a_champion_that_is_rolled_back_before_it_has_an_export(watched: LiveServer, said: Path) -> None:
    say(said, '{"version": 5}')
    until(lambda: state(watched).problem)
    say(said, '{"version": 1}')
    until(lambda: state(watched).problem is None)
    assert state(watched).champion_version == 1
    assert version(watched) == 1


def test_a_champion_that_is_rolled_back_while_it_is_loaded(
    watched: LiveServer, said: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = hold_up_switching(monkeypatch)
    say(said, '{"version": 2}')
    until(lambda: '"switching"' in watched.log)
    say(said, '{"version": 1}')
    until(lambda: state(watched).champion_version == 1)
    loaded.set()
    until(lambda: watched.log.count('"event": "model"') == 3)  # 1, 2, and 1 again
    assert version(watched) == 1


def hold_up_switching(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Models are loaded, but do not answer before the event comes."""
    switch, loaded = ModelSwitch.switch, threading.Event()

    async def slow(self: ModelSwitch, folder: Path) -> None:
        while not loaded.is_set():
            await asyncio.sleep(0.02)
        await switch(self, folder)

    monkeypatch.setattr(ModelSwitch, "switch", slow)
    return loaded


def test_what_is_published_while_the_first_model_is_loaded_takes_over(
    exports: Path, start: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = hold_up_switching(monkeypatch)

    def publish_another() -> None:
        publish(exports, exports / "light" / "2")
        loaded.set()

    threading.Timer(0.3, publish_another).start()
    server = start(folder=exports / "light" / "1", exports=exports)
    until(lambda: version(server) == 2)


def test_an_export_that_could_not_be_served_is_tried_again(
    exports: Path, start: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two models at once need memory, which may have been short for a moment."""
    server = start(folder=exports / "light" / "1", exports=exports)
    good = exports / "light" / "2" / "onnx.onnx"
    data = good.read_bytes()
    good.write_bytes(b"")
    publish(exports, exports / "light" / "2")
    until(lambda: state(server).problem)
    good.write_bytes(data)
    until(lambda: version(server) == 2)
    assert state(server).problem is None


def test_a_watcher_that_ends_is_started_again(exports: Path, said: Path, start: StartServer) -> None:
    once = "import sys; print(open(sys.argv[1]).read().splitlines()[-1])"
    watcher = (sys.executable, "-c", once, str(said))
    server = start(folder=exports / "light" / "1", exports=exports, watcher=watcher)
    until(lambda: state(server).problem)
    assert state(server).problem == "the watcher of the registry has ended"
    say(said, '{"version": 2}')
    until(lambda: version(server) == 2)


def test_a_watcher_that_cannot_be_started(exports: Path, start: StartServer) -> None:
    server = start(folder=exports / "light" / "1", exports=exports, watcher=("/nowhere/python",))
    until(lambda: state(server).problem)
    assert state(server).problem == "the registry cannot be watched"
    publish(exports, exports / "light" / "2")  # which is followed all the same
    until(lambda: version(server) == 2)


def test_a_registry_that_does_not_answer(watched: LiveServer, said: Path) -> None:
    say(said, '{"problem": "nothing answers at http://mlflow"}')
    until(lambda: state(watched).problem)
    assert state(watched).problem == "the registry cannot be read"
    say(said, '{"version": 1}')
    until(lambda: state(watched).problem is None)


def test_a_candidate_is_not_a_registered_model(
    exports: Path, watcher: tuple[str, ...], start: StartServer
) -> None:
    server = start(folder=export(exports, name="baseline"), exports=exports, watcher=watcher)
    time.sleep(0.4)
    assert state(server).registry is False
    publish(exports, exports / "light" / "2")  # which is one: from now on it is watched
    until(lambda: state(server).registry)


def test_the_watcher_ends_with_the_server(exports: Path, watcher: tuple[str, ...]) -> None:
    settings = Settings(
        folder=exports / "light" / "1", exports=exports, watcher=watcher, limits=Limits(workers=1)
    )
    others = set(psutil.Process().children())
    with LiveServer(settings).running() as server:
        until(lambda: state(server).registry)
        children = set(psutil.Process().children()) - others
        assert len(children) == 2  # a worker and the watcher
    assert not any(child.is_running() for child in children)
