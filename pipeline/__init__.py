"""A reproducible, experiment-tracked pipeline for image classification.

Every file in this package is a DVC stage and every folder is a floor; imports only go down
(docs/architecture.md). What the environment may not decide is settled here, where every entry passes first.
"""

import os
import signal
import sys

# On a full disk Python would leave half of a module's byte code, which nobody could import later.
_DISK = os.statvfs(__file__)
if _DISK.f_bavail * _DISK.f_frsize < 16 << 20:
    sys.dont_write_bytecode = True

from pipeline.foundation import environment  # noqa: E402

# Python calls itself "-m" while it looks for `python -m pipeline.<stage>`: the moment before all imports.
if sys.argv[:1] == ["-m"]:
    module, command = sys.orig_argv[-len(sys.argv)], sys.argv[1:2]
    serving = module == "pipeline.serving.workers.worker" or command in (["serve"], ["predict"])
    environment.require_own_packages(serving)
    environment.require_utf8()
    environment.require_usual_keras()
    # While TensorFlow is being imported, for seconds, Ctrl-C has nothing to clean up and ends at once;
    # pipeline.execution takes it over from there.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if "DVC_STAGE" in os.environ:
        import pipeline.processes.starting_process  # noqa: F401 (DVC may die while libraries are imported)

environment.settle()
