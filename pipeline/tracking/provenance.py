"""Where a run comes from: code, experiment, environment and machine."""

import getpass
import importlib.metadata
import os
import platform
import socket
from pathlib import Path
from typing import Any

import psutil

from pipeline.foundation.digests import digest_file, digest_json
from pipeline.foundation.workspace import Workspace
from pipeline.tracking import tags
from pipeline.tracking.repository import Repository

_DECISIVE_FILES = ("pipeline", "params.yaml", "dvc.yaml", "pyproject.toml", "requirements.lock")
"""What decides a result together with the data; the products of the stages do not make a commit dirty."""

_LIBRARIES = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "keras-tuner",
    "numpy",
    "pillow",
    "scikit-learn",
    "mlflow",
    "dvc",
)


def origin(home: Path) -> str:
    """Names this project folder on this machine, so that clones that share a server keep apart."""
    return digest_json([socket.gethostname(), str(home)])[:16]


def run_tags(workspace: Workspace, stage: str, params: dict[str, Any]) -> dict[str, str]:
    """Tags of every run of a stage; `params` are those that the stage declares."""
    values = {
        tags.STAGE: stage,
        tags.ORIGIN: origin(workspace.home),
        tags.PARAMS_DIGEST: digest_json(params),
        "mlflow.source.name": f"python -m pipeline.{stage}",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user(),
        tags.DVC_EXPERIMENT: os.environ.get("DVC_EXP_NAME", ""),
        tags.DVC_BASELINE: os.environ.get("DVC_EXP_BASELINE_REV", ""),
        **_git_tags(workspace.root),
        **_machine_tags(params),
    }
    requirements = workspace.root / "requirements.lock"
    if requirements.exists():
        values[tags.ENVIRONMENT_DIGEST] = digest_file(requirements)
    return {name: value for name, value in values.items() if value}


def system_information() -> dict[str, Any]:
    """The machine and the software on it."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count(),
        "logical_cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: version for name in _LIBRARIES if (version := installed_version(name))},
    }


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution; None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _machine_tags(params: dict[str, Any]) -> dict[str, str]:
    values = {
        "processor": _processor(),
        "cores": str(psutil.cpu_count(logical=False) or psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "python": platform.python_version(),
        "tensorflow": installed_version("tensorflow") or installed_version("tensorflow-cpu") or "",
        "keras": installed_version("keras") or "",
    }
    return values | ({"threads": str(params["threads"])} if "threads" in params else {})


def _git_tags(root: Path) -> dict[str, str]:
    repository = Repository(root)
    commit = repository.head()
    if not commit:
        return {}
    changed = repository.git("status", "--porcelain", "--", *_DECISIVE_FILES)
    return {
        tags.GIT_COMMIT: commit,
        tags.GIT_DIRTY: "unknown" if changed is None else str(bool(changed)).lower(),
        "mlflow.source.git.commit": commit,
    }


def _processor() -> str:
    """The processor's model as its maker names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def user() -> str:
    """Who is logged in; empty where the system does not know."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""  # a container whose user has no name
