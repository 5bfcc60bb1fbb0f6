"""A reproducible, experiment-tracked pipeline for image classification.

Every file in this package is a DVC stage and every folder is a floor; imports only go down
(docs/architecture.md). The variables below have to be set before a library reads them, so they
are set where every entry passes first; a value from the user's environment wins.
"""

import importlib.util
import os
import signal
import sys

# Python calls itself "-m" while it looks for `python -m pipeline.<stage>`: the moment before all imports.
if sys.argv[:1] == ["-m"]:
    module, command = sys.orig_argv[-len(sys.argv)], sys.argv[1:2]
    # These do with requirements-serve.lock, which has neither.
    serving = module == "pipeline.serving.workers.worker" or command in (["serve"], ["predict"])
    needed = ("ai_edge_litert", "fastapi") if serving else ("keras", "mlflow", "pydantic")
    # DVC runs whatever `python` comes first on the PATH.
    if not all(map(importlib.util.find_spec, needed)):
        sys.exit(
            f"The pipeline's packages are not installed for {sys.executable}.\n"
            "  to fix:   activate its environment ('. .venv/bin/activate'), or 'make repro', which makes it"
        )
    # While TensorFlow is being imported, for seconds, Ctrl-C has nothing to clean up and ends at once;
    # pipeline.execution takes it over from there.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's start-up lines
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # bitwise reproduction is claimed for CPUs
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
