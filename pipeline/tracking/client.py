"""MLflow's client: imported late and silenced, its connections given back."""

import logging
import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SETTINGS = {
    # A server that hangs costs this long once, and then the journal waits for it.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Otherwise every run that ends on a server is announced on standard output.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def new_client(address: str) -> "MlflowClient":
    """Import MLflow and silence it."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient
    for library in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=address, registry_uri=address)


def close_client(client: "MlflowClient") -> None:
    """Give back the connections that SQLAlchemy keeps open, for which MLflow has no public name."""
    registry = getattr(client, "_registry_client_lazy", None)  # not there before it is first needed
    for part in (client._tracking_client, registry):
        if part is not None and hasattr(part.store, "engine"):
            part.store.engine.dispose()
