"""docs/deploy/Dockerfile carried out in a folder, where there is no container engine.

The folder stands for the image's `/`; the Python of the tests stands for the one of the base image.
Instructions that the Dockerfile does not use are not known here.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

DOCKERFILE = Path("docs", "deploy", "Dockerfile")
COMPOSE_FILE = Path("docs", "deploy", "compose.yaml")


@dataclass
class Image:
    """What the instructions of one stage have come to.

    Attributes:
      root: stands for `/`.
      environment: variables that a container gets, and no others.
      folder: of the working directory, in the image.
      user: number of the user and of the group.
      command: what a container starts.
      healthcheck: what an engine runs to see whether the container works.
    """

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: tuple[int, int] = (0, 0)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)

    def path(self, name: str) -> Path:
        """Where a path of the image is."""
        return self.root / self.folder.lstrip("/") / name if name[:1] != "/" else self.root / name[1:]

    def start(self, command: Sequence[str]) -> "subprocess.Popen[str]":
        """A process as in a container that is read-only: without rights, and unable to write to any file."""
        return subprocess.Popen(
            [*self._become_user(), *command],
            cwd=self.path("."),
            env=self.environment,
            preexec_fn=_forbid_writing,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        process = self.start(command)
        output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def _become_user(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        numbers = (f"--reuid={self.user[0]}", f"--regid={self.user[1]}", "--clear-groups")
        # Reading everything is the only right left, as the interpreter may lie in a folder of root's.
        right = "+dac_read_search"
        rights = (f"--bounding-set=-all,{right}", f"--inh-caps={right}", f"--ambient-caps={right}")
        return ["setpriv", *numbers, "--no-new-privs", *rights]


def build(project: Path, folder: Path) -> Image:
    """Carry out the Dockerfile; returns its last stage."""
    stages: dict[str, Image] = {}
    image = Image(folder)
    for word, rest in instructions((project / DOCKERFILE).read_text(encoding="utf-8")):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            root = folder / (name or "last")
            image = _base_image(root) if base not in stages else _copied(stages[base], root)
            stages[name] = image
        elif word == "COPY":
            *options, source, target = rest.split()
            origin = stages[options[0].removeprefix("--from=")].root if options else project
            _copy(origin, source, image, target)
        elif word == "ENV":
            image.environment.update(_variables(rest, image))
        elif word == "RUN":
            _run(rest, image)
        elif word == "WORKDIR":
            image.folder = rest
            image.path(".").mkdir(parents=True)
        elif word == "USER":
            user, group = map(int, rest.split(":"))
            image.user = (user, group)
        elif word == "HEALTHCHECK":
            image.healthcheck = json.loads(rest.partition("CMD ")[2])
        elif word == "CMD":
            image.command = json.loads(rest)
        else:
            assert word == "EXPOSE", f"the instruction {word} is not known here"
    return image


def compose_services(project: Path) -> dict[str, dict[str, Any]]:
    """The services of the compose file, variables replaced by their defaults."""
    text = (project / COMPOSE_FILE).read_text(encoding="utf-8")
    content = YAML(typ="safe").load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    services: dict[str, dict[str, Any]] = content["services"]
    return services


@contextmanager
def running(image: Image, command: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    """A container's process; killed at the end if it has not ended."""
    process = image.start(command)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate()


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The first word and the rest of every instruction."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def _base_image(root: Path) -> Image:
    """Has `python` with pip and venv, and the system's programs."""
    programs = root / "usr" / "local" / "bin"
    programs.mkdir(parents=True)
    # No link: Python takes the place of its libraries from the path under which it was started.
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python").chmod(0o755)
    return Image(root, {"PATH": f"{programs}:/usr/bin:/bin"})


def _copied(image: Image, root: Path) -> Image:
    shutil.copytree(image.root, root, symlinks=True)
    path = image.environment["PATH"].replace(str(image.root), str(root))
    return Image(root, {**image.environment, "PATH": path})


def _copy(source_root: Path, source: str, image: Image, target: str) -> None:
    found, place = source_root / source.lstrip("/"), image.path(target)
    if found.is_dir():
        shutil.copytree(found, place, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(found, place)


def _variables(text: str, image: Image) -> Mapping[str, str]:
    pairs = dict(pair.split("=", 1) for pair in text.split())
    expanded = {name: value.replace("$PATH", image.environment["PATH"]) for name, value in pairs.items()}
    return {name: re.sub(r"^/", f"{image.root}/", value) for name, value in expanded.items()}


def _run(command: str, image: Image) -> None:
    # With the settings of this machine too, among them where its packages come from.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        ["sh", "-euc", re.sub(r"(?<!\S)/", f"{image.root}/", command)],
        cwd=image.path("."),
        env={**environment, **image.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def _forbid_writing() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
