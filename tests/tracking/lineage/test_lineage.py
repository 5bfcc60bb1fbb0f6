"""From a model to where it comes from, and from a revision to what it has made; the runs are made by hand."""

import json
from pathlib import Path

import pytest

from pipeline.foundation.digests import digest_bytes
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.repository.repository import Experiment, Repository
from pipeline.tracking import tags
from pipeline.tracking.lineage import (
    ModelLineage,
    RegisteredVersion,
    RevisionLineage,
    makers,
    trace,
)
from pipeline.tracking.store import Store
from tests.repository.test_repository import commit, git, make_experiment
from tests.tracking.conftest import EXPERIMENT
from tests.tracking.made_runs import changed, make_parent, make_training

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

PARAMS = "lr: 0.2\ntrain_baseline: {epochs: 15}\n"
COMMITTED, IN_EXPERIMENT = b"network of the commit", b"network of the experiment"


def lock(*hashes: str) -> str:
    """A dvc.lock in which models/baseline, models/transfer ... have these hashes."""
    stages = "".join(
        f"  make_{candidate}:\n    cmd: x\n    outs:\n    - path: models/{candidate}\n      hash: md5\n"
        f"      md5: {dvc_hash}\n      size: 1\n"
        for candidate, dvc_hash in zip(("baseline", "transfer"), hashes, strict=False)
    )
    scores = "    outs:\n    - path: metrics/predictions\n      hash: md5\n      md5: scores\n"
    return f"schema: '2.0'\nstages:\n{stages}  evaluate:\n    cmd: x\n{scores}"


class Made:
    """A repository with a commit, its results and an experiment; and their runs in MLflow."""

    def __init__(self, workspace: Workspace, store: Store) -> None:
        self.workspace, self.store = workspace, store
        git(workspace.root, "init", "--quiet", "--initial-branch=main")
        (workspace.root / ".gitignore").write_text("/*\n!/params.yaml\n!/dvc.lock\n")
        workspace.params.write_text(PARAMS)
        self.code = commit(workspace.root, "code")
        workspace.lock.write_text(lock("committed.dir", "transferred.dir"))
        self.results = commit(workspace.root, "results")
        self.experiment = make_experiment(
            Repository(workspace.root), "muddy-ant", lock("tried.dir").replace("scores", "other")
        )
        self._make_runs()

    def _make_runs(self) -> None:
        source = {"dataset": "digits", "location": None, "fingerprint": "f"}
        self.restored = make_training(
            self.store,
            more_tags={
                tags.MODEL_DIGEST: digest_bytes(COMMITTED),
                tags.GIT_COMMIT: self.results,
                tags.RESTORED: "true",
            },
        )
        self.maker = make_training(
            self.store,
            params={"lr": "0.2"},
            metrics={"test_accuracy": 0.9, "test_accuracy_low": 0.8, "val_loss": 1.0},
            more_tags={
                tags.GIT_COMMIT: self.code,
                tags.MODEL_DIGEST: digest_bytes(COMMITTED),
                tags.DVC_HASH: "committed.dir",
                tags.DATA_SOURCE: json.dumps(source),
                tags.INPUTS: json.dumps({"data/arrays/train": "arrays.dir"}),
                tags.KERAS: "3.0",
                tags.PROCESSOR: "Z80",
            },
        )
        self.store.client.set_tag(self.restored, tags.RESTORED_FROM, self.maker)
        in_experiment = {
            tags.DVC_EXPERIMENT: "muddy-ant",
            tags.DVC_BASELINE: self.results,
            tags.GIT_COMMIT: self.results,
            **changed("params.yaml"),
        }
        self.parent = make_parent(self.store, "muddy-ant", {"lr": "0.1", "train_baseline.epochs": "15"})
        for name, value in in_experiment.items():
            self.store.client.set_tag(self.parent, name, value)
        self.tried = make_training(
            self.store,
            parent=self.parent,
            params={"lr": "0.1"},
            more_tags={tags.MODEL_DIGEST: digest_bytes(IN_EXPERIMENT), **in_experiment},
        )
        self.trial = make_training(
            self.store, parent=self.tried, more_tags={**in_experiment, tags.KIND: tags.KIND_TRIAL}
        )
        self.evaluation = make_training(
            self.store,
            candidate="evaluate",
            stage="evaluate",
            more_tags={
                tags.KIND: tags.KIND_EVALUATION,
                f"{tags.MODEL_DIGEST}.baseline": digest_bytes(COMMITTED),
                tags.GIT_COMMIT: self.code,
                tags.DVC_HASH: "scores",
            },
        )
        client = self.store.client
        client.create_registered_model("digits")
        for run, digest in ((self.maker, COMMITTED), (self.tried, IN_EXPERIMENT)):
            version = {tags.MODEL_DIGEST: digest_bytes(digest), tags.CANDIDATE: "baseline"}
            client.create_model_version("digits", "nowhere", run_id=run, tags=version)
        client.set_registered_model_alias("digits", "champion", "1")
        client.set_registered_model_alias("digits", "fallback", "1")

    def trace(self, what: str) -> ModelLineage | RevisionLineage:
        return trace(self.store, EXPERIMENT, what)

    def of_model(self, what: str) -> ModelLineage:
        lineage = self.trace(what)
        assert isinstance(lineage, ModelLineage)
        return lineage

    def of_revision(self, what: str) -> RevisionLineage:
        lineage = self.trace(what)
        assert isinstance(lineage, RevisionLineage)
        return lineage


@pytest.fixture(scope="module")
def made(shared_workspace: Workspace, store: Store) -> Made:
    return Made(shared_workspace, store)


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC's cache on a colleague's machine: it has none of these models."""
    monkeypatch.setattr(Repository, "cached", lambda self, dvc_hash: False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The committed model, somewhere else under another name."""
    path = tmp_path / "from a colleague.keras"
    path.write_bytes(COMMITTED)
    return path


def run_ids(lineage: RevisionLineage) -> set[str]:
    return {each.run.run_id for each in lineage.runs}


def reasons(lineage: RevisionLineage, run_id: str) -> tuple[str, ...]:
    (found,) = [each.reasons for each in lineage.runs if each.run.run_id == run_id]
    return found


# from a model


def test_a_copy_of_a_model_file_leads_to_the_run_that_executed(made, copy):
    lineage = made.of_model(str(copy))
    assert lineage.run is not None
    assert lineage.run.run_id == made.maker
    assert [(each.run_id, each.restored_from) for each in lineage.same_model] == [(made.restored, made.maker)]
    assert lineage.model_digest == digest_bytes(COMMITTED)
    assert (lineage.candidate, lineage.network, lineage.stage) == ("baseline", "fast_cnn", "train_baseline")
    assert lineage.scores == {"test_accuracy": 0.9, "test_accuracy_low": 0.8}
    assert lineage.inputs == {"data/arrays/train": "arrays.dir"}
    assert lineage.data_source == {"dataset": "digits", "location": None, "fingerprint": "f"}
    assert (lineage.versions, lineage.machine) == ({"keras": "3.0"}, {"processor": "Z80"})
    assert (lineage.git_commit, lineage.git_changes) == (made.code, ())
    assert lineage.git_title.startswith(f"{made.code[:7]} code (20")
    assert lineage.registered == (RegisteredVersion("digits", 1, ("champion", "fallback"), made.maker),)
    assert lineage.recovery.commands[0] == f"git checkout {made.results[:10]}"  # which has it in dvc.lock


def test_the_folder_of_a_model_means_its_file(made, tmp_path):
    (tmp_path / "model.keras").write_bytes(IN_EXPERIMENT)
    assert made.of_model(str(tmp_path)).run.run_id == made.tried


@pytest.mark.parametrize(
    "what", ["models:/digits@champion", "digits@fallback", "models:/digits/1", "digits/1"]
)
def test_a_model_version_leads_to_its_run(made, what):
    assert made.of_model(what).run.run_id == made.maker


def test_a_run_is_found_by_the_beginning_of_its_id(made):
    assert made.of_model(made.tried) == made.of_model(made.tried[:12])
    restored = made.of_model(made.restored)
    assert restored.run.restored_from == made.maker
    assert restored.dvc_hash == "committed.dir"  # as the other run of the same model is tagged


def test_an_experiment_has_a_parent_with_all_params(made):
    lineage = made.of_model(made.tried)
    assert lineage.parent_run.run_id == made.parent
    assert [str(each) for each in lineage.changed_params] == ["lr=0.1 (0.2)"]
    assert lineage.params == {"lr": "0.1", "train_baseline.epochs": "15"}
    assert lineage.git_changes == ("params.yaml",)
    # `sync` has not tagged this run with either of them.
    assert lineage.experiment == Experiment("muddy-ant", made.results, made.experiment.commit)
    assert lineage.dvc_hash == "tried.dir"


def test_an_experiment_that_was_run_anew_under_its_name_has_another_model(made, monkeypatch):
    other = json.dumps({"model_digest": "another"}).encode()
    monkeypatch.setattr(Repository, "output", lambda self, revision, path: other)
    assert made.of_model(made.tried).dvc_hash == ""


def test_a_version_whose_run_was_deleted_tells_what_it_repeats(made):
    gone = make_training(made.store)
    client = made.store.client
    client.create_registered_model("old")
    facts = {tags.MODEL_DIGEST: "d", tags.CANDIDATE: "tuned", tags.GIT_COMMIT: made.code}
    client.create_model_version("old", "nowhere", run_id="f" * 32, tags=facts)
    lineage = made.of_model("old/1")
    assert lineage.run is None
    assert (lineage.model_digest, lineage.candidate, lineage.git_commit) == ("d", "tuned", made.code)
    client.delete_registered_model("old")
    client.delete_run(gone)


# from a revision


def test_a_commit_leads_to_the_runs_of_its_models_its_code_and_its_experiments(made):
    lineage = made.of_revision("main")
    assert lineage.commit == made.results
    assert lineage.models == {"models/baseline": "committed.dir", "models/transfer": "transferred.dir"}
    assert run_ids(lineage) == {made.maker, made.restored, made.evaluation, made.tried, made.parent}
    assert reasons(lineage, made.maker) == ("models/baseline in this commit's dvc.lock is its model",)
    assert reasons(lineage, made.restored) == ("it ran on this commit",)
    assert reasons(lineage, made.evaluation) == ("its predictions are those in this commit's dvc.lock",)
    assert reasons(lineage, made.tried) == ("its experiment muddy-ant started from this commit",)
    assert lineage.trials == 1
    assert [(each.version.version, each.reason) for each in lineage.registered] == [
        (1, f"it is the model of run {made.maker[:8]}"),
        (2, f"it is the model of run {made.tried[:8]}"),
    ]


def test_an_experiment_leads_to_its_runs_and_they_lead_back(made):
    lineage = made.of_revision("muddy-ant")
    assert lineage.commit == made.experiment.commit
    assert lineage.experiments == (made.experiment,)
    assert run_ids(lineage) == {made.tried, made.parent}
    assert [each.version.version for each in lineage.registered] == [2]
    (model,) = [each.run for each in lineage.runs if each.run.model_digest]
    assert made.of_model(model.run_id).experiment == made.experiment
    assert made.of_revision(made.experiment.commit) == lineage


def test_a_colleague_without_the_experiment_finds_its_runs_by_name(made, tmp_path, monkeypatch):
    git(tmp_path, "clone", "--quiet", str(made.workspace.root), "clone")
    elsewhere = Workspace(root=tmp_path / "clone", home=tmp_path / "clone")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.store.address)
    theirs = Store(elsewhere)
    lineage = trace(theirs, EXPERIMENT, "muddy-ant")
    assert isinstance(lineage, RevisionLineage)
    assert (lineage.experiments, lineage.commit) == ((), "")
    assert run_ids(lineage) == {made.tried, made.parent}
    assert "not in this repository" in lineage.subject
    forwards = trace(theirs, EXPERIMENT, made.tried)
    assert isinstance(forwards, ModelLineage)
    assert forwards.recovery.commands == (
        f"git checkout {made.results[:10]}",
        "dvc exp run -S lr=0.1 train_baseline",
    )


def test_a_run_that_made_no_model_leads_to_those_that_did(made):
    assert run_ids(made.of_revision(made.evaluation)) == {made.maker, made.restored}
    assert run_ids(made.of_revision(made.parent)) == {made.tried}
    assert run_ids(made.of_revision(made.trial)) == {made.tried}


def test_a_model_that_sync_has_not_tagged_is_known_by_its_own_digest(made, monkeypatch):
    untagged = {tags.MODEL_DIGEST: "untagged", tags.PROCESSOR: "6502"}
    run = make_training(made.store, candidate="transfer", more_tags=untagged)
    card = json.dumps({"model_digest": "untagged"}).encode()
    cards = {"models/transfer/card.json": card}
    monkeypatch.setattr(Repository, "output", lambda self, revision, path: cards.get(path))
    known = makers(made.store, EXPERIMENT, made.results)
    assert {path: facts[tags.PROCESSOR] for path, facts in known.items()} == {
        "models/baseline": "Z80",
        "models/transfer": "6502",
    }
    lineage = made.of_revision(made.results)
    assert reasons(lineage, run) == ("models/transfer in this commit's dvc.lock is its model",)
    assert made.of_model(run).dvc_hash == "transferred.dir"  # HEAD has it
    made.store.client.delete_run(run)


# what it cannot find


def test_a_name_that_nothing_has(made):
    with pytest.raises(PipelineError, match="'muddy-bee' is nothing that git, DVC or MLflow knows") as caught:
        made.trace("muddy-bee")
    assert "models:/NAME@ALIAS" in str(caught.value)
    for what in ("models:/digits@none", "digits/7", "f" * 32, "it's", "abcdef0", "--all", ""):
        with pytest.raises(PipelineError, match="is nothing that"):
            made.trace(what)


def test_a_model_that_no_run_has_made(made, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"unknown")
    with pytest.raises(PipelineError, match="No run in MLflow has made") as caught:
        made.trace(str(path))
    assert digest_bytes(b"unknown") in str(caught.value)


def test_a_name_with_two_meanings_is_refused(made):
    git(made.workspace.root, "branch", made.maker[:8])
    try:
        with pytest.raises(PipelineError, match="may mean 2 things") as caught:
            made.trace(made.maker[:8])
        assert f"run {made.maker} (baseline); commit {made.results[:7]} results" in str(caught.value)
    finally:
        git(made.workspace.root, "branch", "-D", made.maker[:8])


def test_a_server_that_is_down_is_one_message(made, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(
        PipelineError, match=r"^MLflow could not be reached: nothing answers at http://127"
    ) as caught:
        trace(Store(made.workspace), EXPERIMENT, "main")
    assert "secret" not in str(caught.value)
