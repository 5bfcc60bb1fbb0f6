"""Fitting with Keras: batches, optimizers, the epochs that survive a kill, and the trained-model folder.

Keras is first imported here, whichever module of this floor or of a higher one asks for it.
"""

from pipeline.processes.native_output import native_stderr_silenced

# TensorFlow 2.21 announces oneDNN there before its logging can be configured; no variable stops it.
with native_stderr_silenced():
    import keras  # noqa: F401
