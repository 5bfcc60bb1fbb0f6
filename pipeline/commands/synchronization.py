"""`python -m pipeline sync`, which every command that reads the store runs first."""

from collections.abc import Callable

from pipeline.foundation.params import load_params
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.sync import synchronize as deliver_and_mend


def synchronize(workspace: Workspace, say: Callable[[str], None]) -> str:
    """Bring MLflow up to date and say what that did; returns why it could not be reached, or nothing."""
    done = deliver_and_mend(workspace, load_params(workspace.params).tracking.experiment, say)
    for line in done.lines():
        say(line)
    return done.unreachable
