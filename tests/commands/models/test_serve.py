"""`serve`: what the options come to."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.commands.models import serve as command
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.serving.application import Settings
from pipeline.serving.limits import Limits
from pipeline.tracking.store import Store
from tests.serving.tiny_model import export, published

TOKEN = "0123456789abcdef"


class Started:
    """What the server was started with, and what people were told."""

    settings: Settings
    host: str
    port: int
    said: list[str]


Serve = Callable[..., Started]


@pytest.fixture
def serve(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Runs the command with the server itself replaced."""
    monkeypatch.delenv(command.TOKEN_VARIABLE, raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*arguments: str) -> Started:
        started = Started()
        started.said = []

        def run_server(settings: Settings, host: str, port: int, say: object) -> None:
            started.settings, started.host, started.port = settings, host, port

        monkeypatch.setattr(command, "run_server", run_server)
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        options = parser.parse_args(arguments)
        assert command.serve(workspace, Store(workspace), options, started.said.append) == 0
        return started

    return run


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    """A published export."""
    return published(workspace.exports, export(workspace.exports))


def test_by_default_the_published_export_is_served_to_this_machine_only(
    serve: Serve, workspace: Workspace, folder: Path
) -> None:
    started = serve()
    assert (started.host, started.port) == ("127.0.0.1", 8000)
    assert started.settings == Settings(
        folder=folder, exports=workspace.exports, samples=workspace.root / "samples", limits=Limits()
    )
    assert started.settings.access.hosts == frozenset()
    assert started.said == ["The server has ended."]


def test_a_folder_is_served_wherever_it_is_and_not_followed(serve: Serve, tmp_path: Path) -> None:
    elsewhere = export(tmp_path / "elsewhere")
    settings = serve("--model", str(elsewhere), "--format", "onnx").settings
    assert (settings.folder, settings.format_name, settings.exports) == (elsewhere, "onnx", None)
    with pytest.raises(PipelineError, match="exclude each other"):
        serve("--model", str(elsewhere), "--follow")


def test_the_registry_is_watched_where_there_is_one(
    serve: Serve, workspace: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert serve().settings.watcher is None
    workspace.tracking_database.touch()
    watcher = serve().settings.watcher
    assert watcher == (sys.executable, "-m", "pipeline.tracking.registry.watching")
    assert serve("--no-follow").settings.watcher is None
    assert serve("--no-follow").settings.exports is None
    workspace.tracking_database.unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    assert serve().settings.watcher == watcher
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert serve().settings.watcher is None  # mlflow is not installed


def test_limits_are_options(serve: Serve, folder: Path) -> None:
    settings = serve(
        *("--workers", "3", "--max-body-mb", "5", "--max-images", "7", "--max-pixels", "1000"),
        *("--receive-seconds", "1.5", "--work-seconds", "2", "--max-requests", "9"),
        *("--max-requests-per-client", "4", "--max-connections", "50", "--max-buffered-mb", "10"),
    ).settings
    assert settings.limits == Limits(
        workers=3,
        body_bytes=5_000_000,
        images=7,
        pixels=1000,
        receive_seconds=1.5,
        work_seconds=2.0,
        requests=9,
        requests_per_client=4,
        connections=50,
        buffered_bytes=10_000_000,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("--workers", "0"),
        ("--max-pixels", "x"),
        ("--work-seconds", "-1"),
        ("--work-seconds", "inf"),
        ("--receive-seconds", "nan"),
        ("--port", "65536"),  # the system would take it for 0
        ("--port", "-1"),
    ],
)
def test_limits_that_make_no_sense(
    serve: Serve, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        serve(*arguments)
    assert arguments[0] in capsys.readouterr().err


def test_every_limit_and_its_default_is_in_the_help() -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    text = " ".join(parser.format_help().split())
    for value in ("32", "256", "25000000", "60.0", "10.0", "128", "1000"):
        assert f"(default: {value})" in text
    assert command.TOKEN_VARIABLE in text


def test_a_token_comes_from_the_environment_or_a_file(
    serve: Serve, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert serve().settings.access.token is None
    monkeypatch.setenv(command.TOKEN_VARIABLE, TOKEN)
    assert serve().settings.access.token == TOKEN
    assert command.TOKEN_VARIABLE not in os.environ  # which the workers inherit
    secret = tmp_path / "secret"
    secret.write_text("another" + TOKEN + "\n")
    assert serve("--token-file", str(secret)).settings.access.token == "another" + TOKEN


@pytest.mark.parametrize("token", ["short", "", "with a space in it, and long", "ümläute-und-lang"])
def test_a_token_that_does_not_fit(
    serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv(command.TOKEN_VARIABLE, token)
    with pytest.raises(PipelineError, match="The token is not suitable") as error:
        serve()
    assert not token or token not in str(error.value)


def test_a_token_file_that_cannot_be_read(serve: Serve, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="cannot be read from"):
        serve("--token-file", str(tmp_path / "none"))


def test_bound_elsewhere_it_warns_unless_there_is_a_token(
    serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = serve("--host", "0.0.0.0")
    assert started.said[0].startswith("Warning: anybody who can reach 0.0.0.0 can use this server")
    assert started.settings.access.hosts is None
    monkeypatch.setenv(command.TOKEN_VARIABLE, TOKEN)
    started = serve("--host", "0.0.0.0", "--allow-host", "images.example")
    assert len(started.said) == 1
    assert started.settings.access.hosts == frozenset({"images.example"})


def test_origins(serve: Serve, folder: Path) -> None:
    allowed = serve("--allow-origin", "https://a.example", "--allow-origin", "http://b.example:81")
    assert allowed.settings.access.origins == {"https://a.example", "http://b.example:81"}
    for wrong in ("a.example", "https://a.example/", "*", "file:///x"):
        with pytest.raises(PipelineError, match="is not an origin"):
            serve("--allow-origin", wrong)


def test_names_are_compared_in_lower_case(serve: Serve, folder: Path) -> None:
    options = ("--allow-host", "Serve.Example.com", "--allow-host", "2001:DB8::1")
    access = serve(*options, "--allow-origin", "https://A.Example").settings.access
    assert access.hosts == frozenset({"serve.example.com", "2001:db8::1"})
    assert access.origins == {"https://a.example"}


@pytest.mark.parametrize("name", ["name:8000", "[::1]", "http://name", "name/", ""])
def test_a_host_that_no_request_could_name(serve: Serve, folder: Path, name: str) -> None:
    with pytest.raises(PipelineError, match="is not a host name"):
        serve("--allow-host", name)


def test_a_request_that_could_never_be_held(serve: Serve, folder: Path) -> None:
    with pytest.raises(PipelineError, match="would exceed what all requests may hold"):
        serve("--max-body-mb", "300")


def test_nothing_published(serve: Serve) -> None:
    with pytest.raises(PipelineError, match="No model has been published"):
        serve()
