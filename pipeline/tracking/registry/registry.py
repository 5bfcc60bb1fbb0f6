"""The registered model: its versions, its aliases, and the log of decisions about them.

All of it is in MLflow, so that a team and another clone see the same. What a later decision needs of
a version (predictions, scores, card) lies with the run that trained the model, as artifacts.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.foundation.digests import digest_file, digest_json
from pipeline.foundation.errors import PipelineError
from pipeline.processes.locks import held
from pipeline.scoring.predictions import Predictions, load_predictions, save_predictions
from pipeline.tracking import tags
from pipeline.tracking.registry.decisions import Decision, VersionName, moves, new_key, read_decisions
from pipeline.tracking.runs.trainings import TrainedRun
from pipeline.tracking.store import Store, is_rejection, is_server

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
CHALLENGER = "challenger"

_FOLDER = "registration"
_SILENT_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 600.0
_MODEL_URI = "models:/"


@dataclass(frozen=True)
class Version:
    """A model version; `tags` are those of pipeline.tracking.tags."""

    number: int
    run_id: str
    tags: Mapping[str, str]

    @property
    def model_digest(self) -> str:
        return self.tags.get(tags.MODEL_DIGEST, "")

    @property
    def name(self) -> VersionName:
        """As the log of decisions calls it."""
        return VersionName(self.number, self.model_digest)


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model at one moment.

    Attributes:
      aliases: version by alias.
      decisions: the whole log, oldest first.
    """

    aliases: Mapping[str, int]
    decisions: list[Decision]


@dataclass(frozen=True)
class Evidence:
    """What a decision needs of a registered model besides its tags.

    Attributes:
      predictions: of the model, by subset.
      references: predictions of the test subset, by reference.
    """

    predictions: Mapping[str, Predictions]
    references: Mapping[str, Predictions]

    def save(self, folder: Path) -> None:
        save_predictions(folder / "predictions.npz", self.predictions)
        save_predictions(folder / "references.npz", self.references)

    @classmethod
    def load(cls, folder: Path) -> "Evidence":
        """Raises PipelineError where a file is missing."""
        return cls(load_predictions(folder / "predictions.npz"), load_predictions(folder / "references.npz"))


class Registry:
    """One registered model of a store; every method raises PipelineError where MLflow does not answer."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name

    def read(self) -> RegisteredModel:
        """Aliases and log. Raises PipelineError too where no model of this name is registered."""
        with self.store.answering() as client:
            from mlflow.exceptions import MlflowException

            try:
                found = client.get_registered_model(self.name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                raise PipelineError(
                    f"No model called '{self.name}' is registered.",
                    remedy="register one: python -m pipeline register",
                ) from None
            aliases = {alias: int(version) for alias, version in found.aliases.items()}
        return RegisteredModel(aliases, read_decisions(found.tags))

    def aliased(self, alias: str) -> int:
        """The version that an alias points to. Raises PipelineError where there is none."""
        aliases = self.read().aliases
        if alias not in aliases:
            raise PipelineError(
                f"No version of '{self.name}' is '{alias}'.",
                expected="one of " + ", ".join(sorted(aliases)) if aliases else None,
                remedy="python -m pipeline promote makes a champion",
            )
        return aliases[alias]

    def find(self, which: int | str) -> Version | None:
        """A version by its number or alias; None where there is no such."""
        with self.store.failures_as_unavailable():
            client = self.store.client
            try:
                if isinstance(which, int):
                    return _version(client.get_model_version(self.name, str(which)))
                return _version(client.get_model_version_by_alias(self.name, which))
            except Exception as error:
                if not is_rejection(error):
                    raise
                return None

    def version(self, number: int) -> Version:
        """Raises PipelineError where there is none: it was deleted, or never made."""
        found = self.find(number)
        if found is None:
            raise PipelineError(
                f"There is no version {number} of '{self.name}'.",
                remedy="'python -m pipeline history' lists versions",
            )
        return found

    def version_of(self, model_digest: str) -> Version | None:
        """The first version of a model that is registered already."""
        condition = f"name = '{self.name}' and tags.`{tags.MODEL_DIGEST}` = '{model_digest}'"
        with self.store.answering() as client:
            found = client.search_model_versions(condition)
        return min(map(_version, found), key=lambda version: version.number, default=None)

    def create_version(self, trained: TrainedRun, values: Mapping[str, str]) -> Version:
        """Register a logged model with these tags, and make the registered model where it is new."""
        with self.store.answering() as client, self._address_in_environment():
            from mlflow.exceptions import MlflowException

            try:
                client.create_registered_model(self.name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            created = client.create_model_version(
                self.name,
                source=f"{_MODEL_URI}{trained.model_id}",
                run_id=trained.run_id,
                tags=dict(values),
                await_creation_for=0,
                model_id=trained.model_id,
            )
        return _version(created)

    def describe(self, version: Version, values: Mapping[str, str], card: str = "") -> None:
        """Set tags of a version, and its description where there is a new one."""
        with self.store.answering() as client:
            if card:
                client.update_model_version(self.name, str(version.number), card)
            for key, value in values.items():
                client.set_model_version_tag(self.name, str(version.number), key, value)

    def set_alias(self, alias: str, number: int) -> None:
        with self.store.answering() as client:
            client.set_registered_model_alias(self.name, alias, str(number))

    def remove_alias(self, alias: str) -> None:
        with self.store.answering() as client:
            client.delete_registered_model_alias(self.name, alias)

    def record(self, decision: Decision) -> None:
        """Add a decision to the log."""
        with self.store.answering() as client:
            client.set_registered_model_tag(self.name, decision.key, decision.to_tag())

    def move_champion(self, before: RegisteredModel, decision: Decision) -> None:
        """Write a decision to the log and carry it out.

        It is written before the alias moves, and the alias moves only if nobody else has decided or moved it
        meanwhile. On one machine `alone` sees to that. Between machines everybody writes first and reads
        then, so that of two who decide at once at least one sees the other and gives way; what somebody does
        by hand in between is found when the alias is read back.

        `before` is what the decision was made from. Raises PipelineError where somebody was faster.
        """
        self.record(decision)
        number = decision.version.version
        conflict = _conflict(before, self.read(), decision)
        if not conflict:
            self.set_alias(CHAMPION, number)
            now_champion = self.read().aliases.get(CHAMPION)
            if now_champion != number:
                conflict = f"somebody has made {version_text(now_champion)} champion at the same moment"
        if conflict:
            void = replace(decision, key=new_key(), kind="conflict", reason=conflict, gates=())
            self.record(replace(void, cancels=decision.key))
            raise PipelineError(
                f"Version {number} was not made champion: {conflict}.",
                expected=f"{version_text(before.aliases.get(CHAMPION))}, as when the decision began",
                remedy="look at 'python -m pipeline history', and decide again if it is still wanted",
            )

    def place(self, folder: Path) -> str:
        """Where a run keeps the files of a folder; another content has another place."""
        return f"{_FOLDER}/{digest_json({path.name: digest_file(path) for path in folder.iterdir()})[:16]}"

    def keep(self, version: Version, folder: Path, place: str) -> None:
        """Store the files of a folder with the run that trained the model of a version."""
        with self.store.answering() as client:
            client.log_artifacts(version.run_id, str(folder), place)

    def evidence(self, version: Version) -> Evidence:
        """Raises PipelineError where the version was not registered by `python -m pipeline register`."""
        place = version.tags.get(tags.REGISTRATION)
        if place is None:
            raise PipelineError(
                f"Version {version.number} of '{self.name}' has no predictions to compare.",
                expected="a version made by 'python -m pipeline register'",
                remedy="register its model again; a registration that was interrupted is then completed",
            )
        with self.store.answering() as client, tempfile.TemporaryDirectory() as folder:
            return Evidence.load(Path(client.download_artifacts(version.run_id, place, folder)))

    def run_file(self, version: Version, name: str, folder: Path) -> Path | None:
        """A file of the run that trained the model of a version, brought into `folder`; None without one."""
        with self.store.answering() as client:
            if all(each.path != name for each in client.list_artifacts(version.run_id)):
                return None
            return Path(client.download_artifacts(version.run_id, name, str(folder)))

    def champion(self, model: RegisteredModel) -> Version | None:
        """The version that was champion when `model` was read."""
        number = model.aliases.get(CHAMPION)
        return None if number is None else self.version(number)

    @contextmanager
    def alone(self, say: Callable[[str], None]) -> Iterator[None]:
        """Keep other processes of this user on this machine from changing the registry meanwhile."""
        # Common to all clones that share a store, so not in any of them.
        name = f"model-registry-{os.getuid()}-{self.store.digest[:16]}.lock"
        waiting = "another process is changing the registry: waiting for it"
        too_long = f"Another process has kept the registry locked for {_LONGEST_WAIT_SECONDS:.0f} s."
        lock = Path(tempfile.gettempdir()) / name
        with held(lock, waiting, say, _SILENT_WAIT_SECONDS, _LONGEST_WAIT_SECONDS, too_long):
            yield

    @contextmanager
    def _address_in_environment(self) -> Iterator[None]:
        """To register a logged model, a database looks it up by the process's own tracking address."""
        variable = "MLFLOW_TRACKING_URI"
        before = os.environ.get(variable)
        if is_server(self.store.address) or before is not None:
            yield
            return
        os.environ[variable] = self.store.address
        try:
            yield
        finally:
            del os.environ[variable]


def version_text(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"


def _conflict(before: RegisteredModel, after: RegisteredModel, decision: Decision) -> str:
    """What somebody else has done since `before` that this decision does not know of; empty if nothing."""
    if decision.key not in {each.key for each in after.decisions}:
        return "the log does not hold the decision that was just written"
    known = {each.key for each in before.decisions} | {decision.key}
    others = [each for each in moves(after.decisions) if each.key not in known]
    if others:
        return f"{others[0].who} has decided on version {others[0].version.version} meanwhile"
    champion = after.aliases.get(CHAMPION)
    if champion != before.aliases.get(CHAMPION):
        return f"somebody has made {version_text(champion)} champion meanwhile"
    return ""


def _version(found: "ModelVersion") -> Version:
    return Version(int(found.version), found.run_id or "", found.tags)
