"""The compose file for a team: that it fits together, and that it starts what is tested."""

import shlex
from pathlib import Path

import pytest

from tests.end_to_end.servers import compose_file, server_command


def test_the_compose_file_starts_what_the_tests_start(project: Path) -> None:
    command = compose_file(project)["services"]["mlflow"]["command"]
    addresses = {"--host": "0.0.0.0", "--port": "5000"}
    assert server_command(compose_file(project), addresses)[2:] == command
    with pytest.raises(AssertionError, match="does not give"):
        server_command(compose_file(project), {"--default-artifact-root": "/elsewhere"})


def test_the_compose_file_holds_together(project: Path) -> None:
    compose = compose_file(project)
    services = compose["services"]
    published = {name for name, service in services.items() if "ports" in service}
    assert published == {"proxy"}, "whoever reaches MLflow past the proxy needs no password"
    for service in services.values():
        volumes = [volume.split(":")[0] for volume in service["volumes"]]
        assert all(volume in compose["volumes"] or volume.startswith("./") for volume in volumes)
        assert set(service.get("depends_on", ())) <= set(services)
        assert all(isinstance(value, str) for value in service["environment"].values())
    assert (project / "docs" / "team" / "Caddyfile").read_text().count("mlflow:5000") == 1
    assert "--port=5000" in services["mlflow"]["command"]


def test_the_compose_file_installs_what_is_locked(project: Path) -> None:
    recipe = compose_file(project)["services"]["mlflow"]["build"]["dockerfile_inline"]
    lock = (project / "requirements.lock").read_text(encoding="utf-8")
    pinned = [word for word in recipe.split() if "==" in word]
    assert {word.partition("==")[0] for word in pinned} == {"mlflow", "psycopg2-binary"}
    for requirement in pinned:
        assert f"\n{requirement} " in f"\n{lock}", f"{requirement} is not what requirements.lock has"


def test_the_guide_shows_the_same_command(project: Path) -> None:
    guide = (project / "docs" / "team.md").read_text(encoding="utf-8")
    shown = shlex.split(guide.partition("\nmlflow server ")[2].partition("```")[0].replace("\\\n", ""))
    command = server_command(compose_file(project), {"--allowed-hosts": "mlflow.example.com"})
    assert ["mlflow", "server", *shown] == command[2:]
