"""The OpenAPI description against the server, by a program that makes up thousands of requests from it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.conftest import StartServer

pytest.importorskip("schemathesis")

pytestmark = pytest.mark.slow

COMMAND = Path(sys.executable).with_name("schemathesis")
SERVED = """
[parameters]
"path.name" = "light"
"path.version" = "1"
"""


@pytest.mark.parametrize(
    ("method", "config", "options"),
    [
        ("GET", "", []),
        # That a file is an image, or an array of a certain shape, is more than a schema can say.
        ("POST", SERVED, ["--exclude-checks", "positive_data_acceptance"]),
    ],
)
def test_the_server_keeps_to_its_description(
    start: StartServer, tmp_path: Path, method: str, config: str, options: list[str]
) -> None:
    server = start(workers=2)
    (tmp_path / "config.toml").write_text(config)
    options = [*options, "--include-method", method, "--max-examples", "100", "--seed", "0"]
    done = subprocess.run(
        [
            COMMAND,
            "--config-file",
            "config.toml",
            "--no-color",
            "run",
            f"{server.url}/openapi.json",
            *options,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.log.count('"event": "request"') > 100
    for trouble in ('"defect"', '"status": 500', "worker replaced"):
        assert trouble not in server.log
