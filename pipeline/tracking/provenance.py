"""Where a run comes from: code, data, experiment, environment and machine."""

import getpass
import importlib.metadata
import json
import os
import platform
import socket
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from pipeline.foundation.declarations import parse_declarations
from pipeline.foundation.digests import digest_file, digest_json
from pipeline.foundation.files import text_if_any
from pipeline.foundation.workspace import Workspace
from pipeline.repository.repository import Repository, parse_locked_outputs
from pipeline.tracking import tags
from pipeline.tracking.redaction import without_credentials

DECISIVE_FILES = ("pipeline", "params.yaml", "dvc.yaml", "pyproject.toml", "requirements.lock")
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

_MOST_CHANGES = 50
_DECISIVE_CPU_FLAGS = ("sse4", "avx", "fma", "amx")
"""How the names of the instruction sets begin for which numerical libraries have code of their own."""

_NUMERIC_SETTINGS = (
    "DNNL_MAX_CPU_ISA",
    "NPY_DISABLE_CPU_FEATURES",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "TF_ENABLE_ONEDNN_OPTS",
    "XLA_FLAGS",
)


def origin(home: Path) -> str:
    """Names this project folder on this machine, so that clones that share a server keep apart."""
    return digest_json([socket.gethostname(), str(home)])[:16]


def run_tags(workspace: Workspace, stage: str, params: dict[str, Any]) -> dict[str, str]:
    """Tags of every run of a stage; `params` are those that the stage declares."""
    repository = Repository(workspace.root)
    values = {
        tags.STAGE: stage,
        tags.ORIGIN: origin(workspace.home),
        tags.PARAMS_DIGEST: digest_json(params),
        "mlflow.source.name": f"python -m pipeline.{stage}",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user(),
        tags.DVC_EXPERIMENT: os.environ.get("DVC_EXP_NAME", ""),
        tags.DVC_BASELINE: os.environ.get("DVC_EXP_BASELINE_REV", ""),
        **git_tags(repository.head(), repository.changes(*DECISIVE_FILES)),
        **_read_data_tags(workspace, stage),
        **machine_tags(params),
    }
    if workspace.requirements.exists():
        values[tags.ENVIRONMENT_DIGEST] = digest_file(workspace.requirements)
    return {name: value for name, value in values.items() if value}


def system_information() -> dict[str, Any]:
    """The machine and the software on it, and the threads that this process may use, where that is set."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {
        "processor": _processor(),
        "cpu_flags": list(cpu_flags()),
        "numeric_settings": list(numeric_settings()),
        "threads": int(threads) if threads.isdecimal() else None,
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


def machine_tags(params: Mapping[str, object]) -> dict[str, str]:
    """What of this machine and its software decides bytes; `params` tell the threads in use."""
    values = {
        tags.PROCESSOR: _processor(),
        tags.CPU_FLAGS: " ".join(cpu_flags()),
        tags.NUMERIC_SETTINGS: " ".join(numeric_settings()) or "default",
        "cores": str(psutil.cpu_count(logical=False) or psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        tags.PYTHON: platform.python_version(),
        tags.TENSORFLOW: installed_version("tensorflow") or installed_version("tensorflow-cpu") or "",
        tags.KERAS: installed_version("keras") or "",
        tags.NUMPY: installed_version("numpy") or "",
    }
    return values | ({tags.THREADS: str(params["threads"])} if "threads" in params else {})


def git_tags(commit: str | None, changes: Sequence[str] | None) -> dict[str, str]:
    """The code of a run: a commit, and the files that differed from it; None where that is not known."""
    if not commit:
        return {}
    values = {tags.GIT_COMMIT: commit, "mlflow.source.git.commit": commit}
    if changes is None:
        return values | {tags.GIT_DIRTY: "unknown"}
    values[tags.GIT_DIRTY] = str(bool(changes)).lower()
    return values | ({tags.GIT_CHANGES: json.dumps(changes[:_MOST_CHANGES])} if changes else {})


def data_tags(inputs: Mapping[str, str], source: Any) -> dict[str, str]:
    """The data of a run: hashes of upstream outputs, and what source.json says; None where it is gone."""
    values = {tags.INPUTS: _compact_json(inputs)} if inputs else {}
    try:
        known = {name: source[name] for name in ("dataset", "location", "fingerprint")}
    except (KeyError, TypeError):
        return values
    return values | {tags.DATA_SOURCE: without_credentials(_compact_json(known))}


def _read_data_tags(workspace: Workspace, stage: str) -> dict[str, str]:
    declared = parse_declarations(text_if_any(workspace.stages)).get(stage)
    dependencies = declared.dependencies if declared else ()
    inputs = parse_locked_outputs(text_if_any(workspace.lock)).data_inputs(stage, dependencies)
    try:
        source = json.loads(text_if_any(workspace.source))
    except ValueError:
        source = None  # it is not there, or is being written
    return data_tags(inputs, source)


def _compact_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _processor() -> str:
    """The processor's model as its maker names it."""
    return _first_processor().get("model name") or platform.processor() or platform.machine()


def cpu_flags() -> tuple[str, ...]:
    """Instruction sets that decide rounding, such as fma and avx512f; none where the system does not tell."""
    flags = _first_processor().get("flags", "").split()
    return tuple(sorted(flag for flag in flags if flag.startswith(_DECISIVE_CPU_FLAGS)))


def numeric_settings() -> tuple[str, ...]:
    """The variables that are set and make a numerical library round otherwise than by default."""
    return tuple(f"{name}={os.environ[name]}" for name in _NUMERIC_SETTINGS if os.environ.get(name))


@cache
def _first_processor() -> dict[str, str]:
    """What Linux says of the first processor, by name; empty on other systems."""
    values: dict[str, str] = {}
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                name, separator, value = line.partition(":")
                if not separator:
                    return values  # an empty line: the next processor follows
                values[name.strip()] = value.strip()
    except OSError:
        pass
    return values


def user() -> str:
    """Who is logged in; empty where the system does not know."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""  # a container whose user has no name
