"""The Dockerfile, the compose file and the guide: that they fit together and keep the container harmless."""

import argparse
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.models.serve import TOKEN_VARIABLE, add_arguments
from pipeline.params.whole import load_params
from tests.end_to_end.container import COMPOSE_FILE, DOCKERFILE, compose_services, instructions


@pytest.fixture(scope="module")
def services(project: Path) -> dict[str, dict[str, Any]]:
    return compose_services(project)


@pytest.fixture(scope="module")
def dockerfile(project: Path) -> list[tuple[str, str]]:
    return list(instructions((project / DOCKERFILE).read_text(encoding="utf-8")))


def test_the_server_can_do_nothing_but_serve(services: dict[str, dict[str, Any]]) -> None:
    server = services["server"]
    assert server["read_only"] is True
    assert server["mem_limit"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), "reached from outside"
        assert all(volume["read_only"] for volume in service["volumes"])
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & set(service)
    assert server["environment"] == [TOKEN_VARIABLE]


def test_the_image_is_for_no_user_in_particular(dockerfile: list[tuple[str, str]]) -> None:
    words = [word for word, _ in dockerfile]
    (user,) = (rest for word, rest in dockerfile if word == "USER")
    assert int(user.split(":")[0]) >= 10_000
    assert words.index("USER") < words.index("CMD")
    assert "HEALTHCHECK" in words
    images = {rest.split()[0] for word, rest in dockerfile if word == "FROM"} - {"base"}
    assert all(re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*(@sha256:\w{64})?", image) for image in images)


def test_the_compose_file_starts_what_the_image_starts(
    project: Path, services: dict[str, dict[str, Any]], dockerfile: list[tuple[str, str]]
) -> None:
    server, said = services["server"], dict(dockerfile)
    folder = (project / COMPOSE_FILE).parent
    context = (folder / server["build"]["context"]).resolve()
    assert context == project
    assert context / server["build"]["dockerfile"] == project / DOCKERFILE
    command = [word for word in server["command"] if not word.startswith("--allow-host=")]
    assert str(command).replace("'", '"') == said["CMD"]
    assert server["command"][:4] == ["python", "-m", "pipeline", "serve"]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args(server["command"][4:])
    assert options.allow_host == ["localhost"]
    port = int(said["EXPOSE"])
    assert options.port == port
    assert f"'127.0.0.1', {port}" in said["HEALTHCHECK"]
    assert [port_pair.rpartition(":")[2] for port_pair in server["ports"]] == [str(port)]


def test_the_exports_are_where_both_servers_look(
    project: Path, services: dict[str, dict[str, Any]], dockerfile: list[tuple[str, str]]
) -> None:
    folder = (project / COMPOSE_FILE).parent
    (exports,) = services["server"]["volumes"]
    assert (folder / exports["source"]).resolve() == project / "exports"
    assert exports["target"] == f"{dict(dockerfile)['WORKDIR']}/exports"
    serving = services["tensorflow_serving"]
    (models,) = serving["volumes"]
    assert (folder / models["source"]).resolve() == project / "exports" / "tensorflow_serving"
    assert models["target"] == serving["environment"]["MODEL_BASE_PATH"]
    registered = load_params(project / "params.yaml").registry.model
    assert serving["environment"]["MODEL_NAME"] == registered


def test_only_what_the_image_needs_goes_to_the_builder(
    project: Path, dockerfile: list[tuple[str, str]]
) -> None:
    lines = (project / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    let_through = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    copied = {rest.split()[0] for word, rest in dockerfile if word == "COPY" and not rest.startswith("--")}
    # The exports are for an image with the model inside (docs/deploy.md).
    assert let_through == copied | {"exports"}
    for name in copied:
        listed = subprocess.run(["git", "ls-files", name], cwd=project, capture_output=True, check=True)
        assert listed.stdout, f"{name} is not in git"


def test_what_the_guide_names_exists(project: Path) -> None:
    guide = project / "docs" / "deploy.md"
    text = guide.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w-]", "", line.lower().replace(" ", "-")) for line in re.findall(r"^#+ (.*)$", text, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        else:
            assert (guide.parent / target).exists(), target
    for path in re.findall(r"(?:docs|tests|pipeline)/[\w/]+\.\w+", text):
        assert (project / path).exists(), path
