"""The process that has started this one, known before that can have died unnoticed.

`pipeline` imports this module before the libraries whose import takes seconds.
"""

import os
from contextlib import suppress

import psutil

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "fish", "ksh"})


def _first_above_the_shells() -> psutil.Process | None:
    with suppress(psutil.Error):
        return next((each for each in psutil.Process().parents() if each.name() not in _SHELLS), None)
    return None


DVC: psutil.Process | None = _first_above_the_shells() if "DVC_STAGE" in os.environ else None
"""The DVC whose stage this is; nothing where DVC has not started it."""
