"""Where a run comes from: code, experiment, environment and machine."""

import getpass
import importlib.metadata
import os
import platform
import socket
import subprocess
from pathlib import Path
from typing import Any

import psutil

from pipeline.foundation.digests import digest_file, digest_json
from pipeline.foundation.workspace import Workspace

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
    tags = {
        "stage": stage,
        "origin": origin(workspace.home),
        "params_digest": digest_json(params),
        "mlflow.source.name": f"python -m pipeline.{stage}",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        "dvc_experiment": os.environ.get("DVC_EXP_NAME", ""),
        "dvc_baseline": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        **_git_tags(workspace.root),
        **_machine_tags(params),
    }
    requirements = workspace.root / "requirements.lock"
    if requirements.exists():
        tags["environment_digest"] = digest_file(requirements)
    return {name: value for name, value in tags.items() if value}


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
    tags = {
        "processor": _processor(),
        "cores": str(psutil.cpu_count(logical=False) or psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "python": platform.python_version(),
        "tensorflow": installed_version("tensorflow") or installed_version("tensorflow-cpu") or "",
        "keras": installed_version("keras") or "",
    }
    return tags | ({"threads": str(params["threads"])} if "threads" in params else {})


def _git_tags(root: Path) -> dict[str, str]:
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git(root, "status", "--porcelain", "--", *_DECISIVE_FILES)
    return {
        "git_commit": commit,
        "git_dirty": "unknown" if changed is None else str(bool(changed)).lower(),
        "mlflow.source.git.commit": commit,
    }


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where git is missing or this is no repository."""
    # No optional locks: git must not refresh the index while DVC works on the same repository.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(root), *arguments]
    try:
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _processor() -> str:
    """The processor's model as its maker names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""  # a container whose user has no name
