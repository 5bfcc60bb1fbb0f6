"""The MLflow store: where it is, how it is opened, how runs are found in it and added to."""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from pipeline.foundation.digests import digest_bytes
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.texts import one_line, shortened
from pipeline.foundation.workspace import Workspace
from pipeline.tracking import tags as tag_names
from pipeline.tracking.client import close_client, new_client
from pipeline.tracking.deadline import DeadlinePassedError, within
from pipeline.tracking.own_database import make_database
from pipeline.tracking.redaction import without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

_QUESTION_SECONDS, _WORK_SECONDS = 30.0, 600.0
"""In all, however often a server sends a byte: for an answer, and for what moves files or asks often."""

_LONGEST_PARAM, _LONGEST_TAG, _LONGEST_KEY = 6000, 8000, 250
_ENTITIES_AT_ONCE = 100
_LONGEST_REASON = 200

_DAMAGED = ("malformed", "not a database", "already exists", "no such table", "no such column")
_ANOTHER_DATABASE = (
    "move mlflow.db away and keep it; 'python -m pipeline sync' makes a new one, with what DVC still has"
)
"""What SQLite says of a file that it cannot work with, and what helps."""

_REJECTIONS = {
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}
"""MLflow's codes for "this will never work"; after any other, the same request may work later."""


class StoreUnavailableError(PipelineError):
    """MLflow cannot be reached, or not now; `reason` says why, in one line and without credentials."""

    def __init__(self, reason: str) -> None:
        elsewhere = "MLFLOW_TRACKING_URI" in os.environ
        damaged = any(text in reason for text in _DAMAGED)
        super().__init__(
            f"MLflow could not be reached: {reason}.",
            remedy="start the server, or unset MLFLOW_TRACKING_URI to use mlflow.db"
            if elsewhere
            else _ANOTHER_DATABASE
            if damaged
            else None,
        )
        self.reason = reason


def store_address(workspace: Workspace) -> str:
    """MLFLOW_TRACKING_URI, or the project's own SQLite database. It may hold credentials."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.tracking_database}"


def is_server(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def is_rejection(error: Exception) -> bool:
    """Whether MLflow has refused a request for good."""
    return getattr(error, "error_code", None) in _REJECTIONS


def short_reason(error: BaseException) -> str:
    """What went wrong, short enough for a message."""
    return one_line(without_credentials(str(error)), _LONGEST_REASON) or type(error).__name__


class Store:
    """An MLflow store, seen from one project folder.

    The main function of a process makes one, hands it on, and closes it: `with Store(workspace) as store`.
    It opens when something is first asked of it, as importing MLflow takes seconds and many commands need
    nothing of it. Every method raises StoreUnavailableError where it cannot be opened.

    Attributes:
      address: where it is; may hold credentials.
      workspace: the project.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.address = store_address(workspace)
        self.workspace = workspace
        self._experiments: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of a database; a store that was not opened has none."""
        if self.is_open:
            close_client(vars(self).pop("client"))

    @property
    def is_open(self) -> bool:
        return "client" in vars(self)

    @property
    def exists(self) -> bool:
        """Whether there is anything to ask: a server that is named, or the project's own database."""
        return "MLFLOW_TRACKING_URI" in os.environ or self.workspace.tracking_database.exists()

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's own interface, opened, and made where the store is new."""
        try:
            # Two processes that make the tables of a new database at once would trip over each other.
            with self.lock:
                if self._is_own_database and self.workspace.is_writable():
                    make_database(self.workspace.tracking_database, self.workspace.journal)
                client = new_client(self.address)
                with self.within(_QUESTION_SECONDS):
                    client.search_experiments(max_results=1)
        except Exception as error:
            raise StoreUnavailableError(self.why(error)) from error
        return client

    @property
    def _is_own_database(self) -> bool:
        return "MLFLOW_TRACKING_URI" not in os.environ

    @property
    def digest(self) -> str:
        """Tells stores apart without showing their addresses; the same for every user of a server."""
        return digest_bytes(without_credentials(self.address).encode())

    @cached_property
    def lock(self) -> AbstractContextManager[Any]:
        """For what only one process of this project folder may do at a time; reentrant."""
        from filelock import FileLock  # `serve` and `predict` run without it

        if not self.workspace.is_writable():  # nobody does anything here
            return nullcontext()

        self.workspace.journal.mkdir(parents=True, exist_ok=True)
        name = f".store-{self.digest[:16]}.lock"  # a server that hangs does not hold up the others
        return FileLock(self.workspace.journal / name, thread_local=False)

    def identity(self, experiment: str) -> str:
        """Tells this store from another, also from one that was deleted and made anew in its place."""
        made = self.client.get_experiment(self.experiment_id(experiment)).creation_time
        return f"{self.digest}-{made}"

    def experiment_id(self, name: str) -> str:
        """The experiment called `name`, made where it is missing, restored where it was deleted."""
        if name not in self._experiments:
            with self.lock:
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
        return None if is_server(self.address) else self.workspace.tracking_artifacts.as_uri()

    def find_run(self, experiment: str, tags: Mapping[str, str]) -> "Run | None":
        """The latest run that has all these tags."""
        found = self.find_runs(experiment, tags, limit=1)
        return found[0] if found else None

    def find_runs(
        self,
        experiment: str,
        tags: Mapping[str, str],
        status: str = "",
        limit: int = 1000,
        *,
        deleted_too: bool = False,
    ) -> "list[Run]":
        """Runs that have all these tags, the latest first; `deleted_too` finds those in the bin as well."""
        from mlflow.entities import ViewType

        conditions = [f"tags.`{name}` = {_quoted(value)}" for name, value in tags.items()]
        conditions += [f"attributes.status = '{status}'"] if status else []
        return list(
            self.client.search_runs(
                [self.experiment_id(experiment)],
                filter_string=" and ".join(conditions),
                run_view_type=ViewType.ALL if deleted_too else ViewType.ACTIVE_ONLY,
                order_by=["attributes.start_time DESC"],
                max_results=limit,
            )
        )

    def children_of(self, experiment: str, run_id: str) -> "list[Run]":
        """The runs nested directly in a run, the latest first."""
        return self.find_runs(experiment, {tag_names.NESTED_IN: run_id})

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        values = [RunTag(valid_name(name), shortened(value, _LONGEST_TAG)) for name, value in tags.items()]
        for start in range(0, len(values), _ENTITIES_AT_ONCE):
            self.client.log_batch(run_id, tags=values[start : start + _ENTITIES_AT_ONCE])

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Add params; one that MLflow would cut short is kept whole as an artifact."""
        from mlflow.entities import Param

        values = [Param(name, value) for name, value in stored_params(params).items()]
        for start in range(0, len(values), _ENTITIES_AT_ONCE):
            self.client.log_batch(run_id, params=values[start : start + _ENTITIES_AT_ONCE])
        for name, value in params.items():
            if len(value) > _LONGEST_PARAM:
                self.client.log_text(run_id, value, f"params/{valid_name(name)}.txt")

    def logged_models_of(self, run: "Run", digest: str) -> "list[LoggedModel]":
        """The logged models with this digest that a run has made, unfinished ones included."""
        models = self.client.search_logged_models(
            [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
        )
        return [model for model in models if model.tags.get(tag_names.MODEL_DIGEST) == digest]

    @contextmanager
    def failures_as_unavailable(self) -> Iterator[None]:
        """Turn what the block raises into StoreUnavailableError, but for defects of ours."""
        try:
            with self.within(_WORK_SECONDS):
                yield
        except (PipelineError, ArithmeticError, LookupError, NameError, TypeError):
            raise
        except Exception as error:
            raise StoreUnavailableError(self.why(error)) from error

    @contextmanager
    def answering(self, failed: str = "MLflow has not done what was asked") -> "Iterator[MlflowClient]":
        """MLflow's own interface; what it raises becomes a PipelineError that says what failed, and why."""
        client = self.client  # before anything else is imported of MLflow: it is silenced on the way
        from mlflow.exceptions import MlflowException

        try:
            with self.within(_WORK_SECONDS):
                yield client
        except (MlflowException, OSError, DeadlinePassedError) as error:
            raise PipelineError(f"{failed}: {self.why(error)}.") from error

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Raise DeadlinePassedError where a server takes longer for the block."""
        if is_server(self.address):
            with within(seconds):
                yield
        else:
            yield

    def why(self, error: Exception) -> str:
        """The reason in a few words: MLflow's own texts run over many lines."""
        if is_server(self.address):
            chain = []
            cause: BaseException | None = error
            while cause is not None:
                chain.append(str(cause))
                cause = cause.__cause__ or cause.__context__
            shown, text = without_credentials(self.address), " ".join(chain)
            if (
                isinstance(error, DeadlinePassedError)
                or "timeout" in text.lower()
                or "timed out" in text.lower()
            ):
                return f"{shown} does not answer in time"
            if "Connection refused" in text or "Failed to establish" in text or "resolve" in text:
                return f"nothing answers at {shown}"
            if getattr(error, "error_code", None) == "UNAUTHENTICATED":
                return f"{shown} asks for MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        return short_reason(error)


def stored_params(params: Mapping[str, str]) -> dict[str, str]:
    """Params as MLflow holds them, within its limits."""
    return {valid_name(name): shortened(value, _LONGEST_PARAM) for name, value in params.items()}


def valid_name(name: str) -> str:
    """A name with only the characters that MLflow allows in names."""
    allowed = "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in name)
    return allowed[:_LONGEST_KEY]


def _quoted(value: str) -> str:
    """A value in a filter; MLflow knows no escapes, but two kinds of quotes."""
    return f'"{value}"' if "'" in value else f"'{value}'"
