"""What the environment may not decide: which packages are used, and what a training computes.

Imported before anything else of the project, as its libraries read their variables while they are imported.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_NEEDED = ("dvc", "keras", "mlflow", "numpy", "pandas", "PIL", "pydantic", "sklearn", "tensorflow")

_SET = {
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "-1",  # bitwise reproduction is claimed for CPUs
}
_REMOVED = (
    *("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED"),
    *("TF_USE_LEGACY_KERAS", "TF_XLA_FLAGS", "XLA_FLAGS"),
)
_USUAL = {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # TensorFlow's start-up lines
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
}

_KERAS_DEFAULTS = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "image_data_format": "channels_last",
    "nnx_enabled": False,
}
"""Of keras.json, besides the backend, for which there is a variable."""


def settle() -> None:
    """Set what decides a result; what people may choose is left as it is."""
    os.environ.update(_SET)
    for name in _REMOVED:
        os.environ.pop(name, None)
    for name, value in _USUAL.items():
        os.environ.setdefault(name, value)


def require_own_packages(serving: bool) -> None:
    """End the process with a message where packages are missing, or others than this project's would be used.

    Args:
      serving: whether the process does with what requirements-serve.lock has.
    """
    # DVC runs whatever `python` comes first on the PATH.
    packages = ("ai_edge_litert", "fastapi") if serving else ("keras", "mlflow", "pydantic")
    if not all(map(importlib.util.find_spec, packages)):
        sys.exit(
            f"The pipeline's packages are not installed for {sys.executable}.\n"
            "  to fix:   activate its environment ('. .venv/bin/activate'), or 'make repro', which makes it"
        )
    if foreign := [name for name in _NEEDED if any(_holds(folder, name) for folder in _python_path())]:
        sys.exit(
            f"PYTHONPATH holds packages that would be used instead of this project's: {', '.join(foreign)}.\n"
            f"  found:    PYTHONPATH={os.environ['PYTHONPATH']}\n"
            "  to fix:   unset PYTHONPATH"
        )


def require_utf8() -> None:
    """End the process with a message where Python takes the names of files for something else than UTF-8."""
    if sys.getfilesystemencoding() != "utf-8":
        sys.exit(
            f"File names, and with them classes, would be read as {sys.getfilesystemencoding()}.\n"
            "  expected: UTF-8\n"
            "  to fix:   set PYTHONUTF8=1"
        )


def require_usual_keras() -> None:
    """End the process with a message where Keras's file of settings would change every result."""
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")  # noqa: PTH111, PTH118
    path = Path(home, "keras.json")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # Keras does without it, too
    usual = json.dumps(_KERAS_DEFAULTS)
    if not isinstance(settings, dict):
        sys.exit(f"{path} is not what Keras can read.\n  expected: {usual}\n  to fix:   remove that file")
    others = [
        f"{name}={settings[name]!r}"
        for name, value in _KERAS_DEFAULTS.items()
        if settings.get(name, value) != value
    ]
    if others:
        sys.exit(
            f"Keras's settings in {path} would change every result.\n"
            f"  expected: {usual}\n"
            f"  found:    {', '.join(others)}\n"
            "  to fix:   remove these settings, or set KERAS_HOME to an empty folder"
        )


def _python_path() -> Iterator[Path]:
    for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if folder:
            yield Path(folder)


def _holds(folder: Path, package: str) -> bool:
    return (folder / package).is_dir() or (folder / f"{package}.py").is_file()
