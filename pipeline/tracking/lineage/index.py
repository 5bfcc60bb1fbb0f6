"""What git, DVC and MLflow know, asked together: the one place from which lineage is read."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CARD_FILE
from pipeline.repository.repository import Repository
from pipeline.repository.stage_outputs import EVALUATION, TRAININGS, main_hash
from pipeline.tracking import tags
from pipeline.tracking.lineage.values import RegisteredVersion, RunSummary
from pipeline.tracking.store import Store, is_rejection

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

_MOST_RUNS = 50_000
"""What MLflow returns at most for one question."""
_RUN_ID_LENGTH = 32


class Index:
    """Runs and versions of one store, and models of one repository."""

    def __init__(self, store: Store, experiment: str) -> None:
        """`experiment` is MLflow's name for the project."""
        self.experiment = experiment
        self.repository = Repository(store.workspace.root)
        self.store = store
        self._workspace = store.workspace

    def with_tags(self, wanted: Mapping[str, str]) -> "list[Run]":
        """Runs that have all these tags, the latest first."""
        return self.store.find_runs(self.experiment, wanted, limit=_MOST_RUNS)

    def require_run(self, run_id: str) -> "Run":
        """Raises PipelineError where it was deleted meanwhile."""
        run = self.run(run_id)
        if run is None:
            raise PipelineError(f"There is no run {run_id} in MLflow.")
        return run

    def runs_called(self, text: str) -> "list[Run]":
        """Runs whose id is or begins with some hexadecimal digits."""
        if len(text) == _RUN_ID_LENGTH:
            run = self.run(text)
            return [run] if run else []
        experiment, condition = self.store.experiment_id(self.experiment), f"attributes.run_id LIKE '{text}%'"
        return list(self.store.client.search_runs([experiment], condition, max_results=_MOST_RUNS))

    def run(self, run_id: str) -> "Run | None":
        """A run by its id; None where there is none."""
        if not run_id:
            return None
        try:
            return self.store.client.get_run(run_id)
        except Exception as error:
            if not is_rejection(error):
                raise
            return None

    def versions_of(self, digests: Iterable[str]) -> list[tuple[RegisteredVersion, str]]:
        """The registered versions of some models with the digest of each, by name and number."""
        wanted, client = set(digests) - {""}, self.store.client
        found, aliases = [], {}
        for version in client.search_model_versions() if wanted else []:
            digest = version.tags.get(tags.MODEL_DIGEST)
            if digest in wanted:
                if version.name not in aliases:  # search_model_versions itself leaves them out
                    aliases[version.name] = client.get_registered_model(version.name).aliases
                own = [alias for alias, number in aliases[version.name].items() if _same(number, version)]
                number = int(version.version)
                registered = RegisteredVersion(version.name, number, tuple(sorted(own)), version.run_id or "")
                found.append((registered, digest))
        return sorted(found, key=lambda each: (each[0].name, each[0].version))

    def model_path(self, candidate: str) -> str:
        """models/<candidate> as dvc.lock has it."""
        return self._workspace.model(candidate).relative_to(self._workspace.root).as_posix()

    def models_of(self, commit: str) -> dict[str, str]:
        """What DVC knows the models in a commit's dvc.lock by, by their folders."""
        lock = self.repository.lock(commit)
        hashes = {
            self.model_path(candidate): main_hash(self._workspace, lock, stage)
            for stage, candidate in TRAININGS.items()
        }
        return {path: value for path, value in hashes.items() if value}

    def evaluations_of(self, commit: str) -> "list[Run]":
        """The runs of evaluate whose predictions are those in a commit's dvc.lock."""
        dvc_hash = main_hash(self._workspace, self.repository.lock(commit), EVALUATION)
        return self.with_tags({tags.DVC_HASH: dvc_hash}) if dvc_hash else []

    def makers(self, commit: str) -> dict[str, dict[str, str]]:
        """The tags of the run that made each model in a commit's dvc.lock, by path, where MLflow knows it."""
        found = {path: self.makers_of(commit, path, value) for path, value in self.models_of(commit).items()}
        return {path: dict(first_maker(runs).data.tags) for path, runs in found.items() if runs}

    def makers_of(self, commit: str, path: str, dvc_hash: str) -> "list[Run]":
        """The runs of a model in a commit's dvc.lock, by DVC's hash.

        Where `sync` has tagged none with it, by the model's own digest, if its bytes are here.
        """
        runs = self.with_tags({tags.DVC_HASH: dvc_hash}) if dvc_hash else []
        if runs:
            return runs
        digest = self.card_digest(commit, path)
        return self.with_tags({tags.MODEL_DIGEST: digest}) if digest else []

    def card_digest(self, revision: str, path: str) -> str | None:
        """The digest in a model's card as of a revision, if its bytes are in DVC's cache or remote."""
        card = self.repository.output(revision, f"{path}/{CARD_FILE}")
        return json_object((card or b"").decode(errors="replace")).get("model_digest")


def summary(run: "Run") -> RunSummary:
    """A run in a line."""
    facts, metrics, info = run.data.tags, run.data.metrics, run.info
    return RunSummary(
        run_id=info.run_id,
        name=info.run_name,
        stage=facts.get(tags.STAGE, ""),
        candidate=facts.get(tags.CANDIDATE, ""),
        status=info.status,
        started=datetime.fromtimestamp(info.start_time / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        seconds=(info.end_time - info.start_time) / 1000 if info.end_time else None,
        model_digest=facts.get(tags.MODEL_DIGEST, ""),
        test_accuracy=metrics.get("test_accuracy"),
        restored=facts.get(tags.RESTORED) == "true",
        restored_from=facts.get(tags.RESTORED_FROM, ""),
    )


def first_maker(runs: "list[Run]") -> "Run":
    """Of several runs that made the same bytes the one to tell of: executed, complete, clean, early."""

    def rank(run: "Run") -> tuple[bool, bool, bool, int]:
        facts = run.data.tags
        return (
            facts.get(tags.RESTORED) == "true",
            run.info.status != "FINISHED",
            facts.get(tags.GIT_DIRTY) != "false",
            run.info.start_time,
        )

    return min(runs, key=rank)


def json_object(text: str | None) -> dict[str, Any]:
    """An object as JSON; empty where it is none."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _same(number: Any, version: "ModelVersion") -> bool:
    """MLflow's stores disagree on whether a version is a number or text."""
    return str(number) == str(version.version)
