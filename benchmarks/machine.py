"""What stands below every table: the machine, and the versions of what was measured on it."""

import platform
from collections.abc import Mapping, Sequence

from pipeline.tracking.provenance import installed_version, system_information

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
"""Of NumPy, PyTorch and TensorFlow; each reads its own once, when it starts."""

TRAINING = ("tensorflow", "tensorflow-cpu", "keras", "numpy")
SERVING = ("ai-edge-litert", "numpy", "pillow", "fastapi", "uvicorn")
"""Packages whose versions are told; those that are not installed are passed over."""


def machine_line(threads: int) -> str:
    """Processor, cores, bfloat16, settings that change kernels, and the threads of every competitor."""
    facts = system_information()
    with_bfloat16 = any("bf16" in flag for flag in facts["cpu_flags"])
    parts = [
        facts["processor"],
        f"{facts['logical_cores']} cores",
        f"{'with' if with_bfloat16 else 'no'} bfloat16 instructions",
        "1 thread" if threads == 1 else f"{threads} threads",
        *facts["numeric_settings"],
    ]
    return ", ".join(parts)


def versions_line(packages: Sequence[str], *others: Mapping[str, str]) -> str:
    """Versions here, and those that competitors with an interpreter of their own have told."""
    found = {"python": platform.python_version()}
    found |= {name: version for name in packages if (version := installed_version(name))}
    for other in others:
        found |= {name: version for name, version in other.items() if name not in found}
    return ", ".join(f"{name} {version}" for name, version in found.items())
