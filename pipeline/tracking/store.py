"""The MLflow store: where it is, how it is opened, and how runs are found in it."""

import logging
import os
import sqlite3
import warnings
from collections.abc import Mapping
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING

from filelock import FileLock

from pipeline.foundation.digests import digest_bytes
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.redaction import without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

_SETTINGS = {
    # A server that hangs costs this long once, and then the journal waits for it.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

_REJECTIONS = {
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}
"""MLflow's codes for "this will never work"; after any other, the same request may work later."""


class StoreUnavailableError(Exception):
    """MLflow cannot be reached, or not now; the text says why, in one line and without credentials."""


def store_address(workspace: Workspace) -> str:
    """MLFLOW_TRACKING_URI, or the project's own SQLite database. It may hold credentials."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.tracking_database}"


def is_server(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def surely_nothing_runs(workspace: Workspace) -> bool:
    """Whether no run can be RUNNING in the store, asked without MLflow, whose import takes seconds."""
    if "MLFLOW_TRACKING_URI" in os.environ:
        return False
    if not workspace.tracking_database.exists():
        return True
    address = f"{workspace.tracking_database.as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            return database.execute("SELECT 1 FROM runs WHERE status = 'RUNNING'").fetchone() is None
    except sqlite3.Error:
        return False


def is_rejection(error: Exception) -> bool:
    """Whether MLflow has refused a request for good."""
    return getattr(error, "error_code", None) in _REJECTIONS


def one_line(error: BaseException) -> str:
    """What went wrong, short enough for a message."""
    text = without_credentials(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"


class Store:
    """An open MLflow store, seen from one project folder."""

    def __init__(self, workspace: Workspace) -> None:
        """Open it, and make it where it is new. Raises StoreUnavailableError."""
        self.address = store_address(workspace)
        self._workspace = workspace
        self._experiments: dict[str, str] = {}
        workspace.journal.mkdir(parents=True, exist_ok=True)
        try:
            # Two processes that make the tables of a new database at once would trip over each other.
            with self._lock:
                self.client: MlflowClient = _client(self.address)
                self.client.search_experiments(max_results=1)
        except Exception as error:
            raise StoreUnavailableError(self.why(error)) from error

    @property
    def digest(self) -> str:
        """Tells stores apart without showing their addresses."""
        return digest_bytes(self.address.encode())

    @cached_property
    def _lock(self) -> FileLock:
        return FileLock(self._workspace.journal / ".store.lock", thread_local=False)

    def experiment_id(self, name: str) -> str:
        """The experiment called `name`, made where it is missing, restored where it was deleted."""
        if name not in self._experiments:
            with self._lock:
                self._experiments[name] = self._find_or_make_experiment(name)
        return self._experiments[name]

    def _find_or_make_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return self.client.create_experiment(name, artifact_location=self._artifact_location)
            except MlflowException as error:
                experiment = self.client.get_experiment_by_name(name)  # another machine may have been faster
                if experiment is None:
                    raise error
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id

    @property
    def _artifact_location(self) -> str | None:
        """Absolute, or MLflow would use one below the current folder; a server knows its own."""
        return None if is_server(self.address) else self._workspace.tracking_artifacts.as_uri()

    def find_run(self, experiment: str, tags: Mapping[str, str]) -> "Run | None":
        """The latest run that has all these tags."""
        found = self.find_runs(experiment, tags, limit=1)
        return found[0] if found else None

    def find_runs(
        self, experiment: str, tags: Mapping[str, str], status: str = "", limit: int = 1000
    ) -> "list[Run]":
        """Runs that have all these tags, the latest first."""
        conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
        conditions += [f"attributes.status = '{status}'"] if status else []
        return list(
            self.client.search_runs(
                [self.experiment_id(experiment)],
                filter_string=" and ".join(conditions),
                order_by=["attributes.start_time DESC"],
                max_results=limit,
            )
        )

    def logged_models_of(self, run: "Run", digest: str) -> "list[LoggedModel]":
        """The logged models with this digest that a run has made, unfinished ones included."""
        models = self.client.search_logged_models(
            [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
        )
        return [model for model in models if model.tags.get("model_digest") == digest]

    def why(self, error: Exception) -> str:
        """The reason in a few words: MLflow's own texts run over many lines."""
        if is_server(self.address):
            chain = []
            cause: BaseException | None = error
            while cause is not None:
                chain.append(str(cause))
                cause = cause.__cause__ or cause.__context__
            shown, text = without_credentials(self.address), " ".join(chain)
            if "timeout" in text.lower() or "timed out" in text.lower():
                return f"{shown} does not answer in time"
            if "Connection refused" in text or "Failed to establish" in text or "resolve" in text:
                return f"nothing answers at {shown}"
        return one_line(error)


def _client(address: str) -> "MlflowClient":
    """Import MLflow and silence it."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient
    for library in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=address, registry_uri=address)
