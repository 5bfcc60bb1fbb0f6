"""From a model to where it comes from, and from a revision to what it has made; the runs are made by hand."""

import json
from pathlib import Path

import pytest

from pipeline.commands.addresses.address import parse_address
from pipeline.commands.addresses.lineages import lineage_of_address
from pipeline.foundation.digests import digest_bytes
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.repository.repository import Experiment, Repository
from pipeline.tracking import tags
from pipeline.tracking.lineage.values import ModelLineage, RegisteredVersion, RevisionLineage
from pipeline.tracking.store import Store
from tests.commands.addresses.conftest import COMMITTED, IN_EXPERIMENT, Made
from tests.repository.test_repository import git
from tests.tracking.made_runs import make_training

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


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


def test_a_copy_of_a_model_file_leads_to_the_run_that_executed(made: Made, copy: Path) -> None:
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


def test_the_folder_of_a_model_means_its_file(made: Made, tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(IN_EXPERIMENT)
    assert made.run_of(str(tmp_path)).run_id == made.tried


@pytest.mark.parametrize("what", ["models:/digits@champion", "models:/digits@fallback", "models:/digits/1"])
def test_a_model_version_leads_to_its_run(made: Made, what: str) -> None:
    assert made.run_of(what).run_id == made.maker


def test_a_run_is_found_by_the_beginning_of_its_id(made: Made) -> None:
    assert made.of_model(made.tried) == made.of_model(made.tried[:12])
    assert made.run_of(made.restored).restored_from == made.maker
    assert (
        made.of_model(made.restored).dvc_hash == "committed.dir"
    )  # as the other run of the same model is tagged


def test_an_experiment_has_a_parent_with_all_params(made: Made) -> None:
    lineage = made.of_model(made.tried)
    assert lineage.parent_run is not None
    assert lineage.parent_run.run_id == made.parent
    assert lineage.changed_params is not None
    assert [str(each) for each in lineage.changed_params] == ["lr=0.1 (0.2)"]
    assert lineage.params == {"lr": "0.1", "train_baseline.epochs": "15"}
    assert lineage.git_changes == ("params.yaml",)
    # `sync` has not tagged this run with either of them.
    assert lineage.experiment == Experiment("muddy-ant", made.results, made.experiment.commit)
    assert lineage.dvc_hash == "tried.dir"


def test_an_experiment_that_was_run_anew_under_its_name_has_another_model(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = json.dumps({"model_digest": "another"}).encode()
    monkeypatch.setattr(Repository, "output", lambda self, revision, path: other)
    assert made.of_model(made.tried).dvc_hash == ""


def test_a_version_whose_run_was_deleted_tells_what_it_repeats(made: Made) -> None:
    gone = make_training(made.store)
    client = made.store.client
    client.create_registered_model("old")
    facts = {tags.MODEL_DIGEST: "d", tags.CANDIDATE: "tuned", tags.GIT_COMMIT: made.code}
    client.create_model_version("old", "nowhere", run_id="f" * 32, tags=facts)
    lineage = made.of_model("models:/old/1")
    assert lineage.run is None
    assert (lineage.model_digest, lineage.candidate, lineage.git_commit) == ("d", "tuned", made.code)
    client.delete_registered_model("old")
    client.delete_run(gone)


# from a revision


def test_a_commit_leads_to_the_runs_of_its_models_its_code_and_its_experiments(made: Made) -> None:
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


def test_a_candidate_of_a_revision_leads_to_the_run_that_made_it(made: Made) -> None:
    assert made.run_of("main:baseline").run_id == made.maker
    with pytest.raises(PipelineError, match="No run in MLflow has made models/transfer of commit"):
        made.trace("main:transfer")


def test_an_experiment_leads_to_its_runs_and_they_lead_back(made: Made) -> None:
    lineage = made.of_revision("muddy-ant")
    assert lineage.commit == made.experiment.commit
    assert lineage.experiments == (made.experiment,)
    assert run_ids(lineage) == {made.tried, made.parent}
    assert [each.version.version for each in lineage.registered] == [2]
    (model,) = [each.run for each in lineage.runs if each.run.model_digest]
    assert made.of_model(model.run_id).experiment == made.experiment
    assert made.of_revision(made.experiment.commit) == lineage


def test_a_colleague_without_the_experiment_finds_its_runs_by_name(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "clone", "--quiet", str(made.workspace.root), "clone")
    elsewhere = Workspace(root=tmp_path / "clone", home=tmp_path / "clone")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.store.address)
    with made.finder(elsewhere, Store(elsewhere)) as finder:
        lineage = lineage_of_address(finder, parse_address("muddy-ant"))
        forwards = lineage_of_address(finder, parse_address(made.tried))
    assert isinstance(lineage, RevisionLineage)
    assert (lineage.experiments, lineage.commit) == ((), "")
    assert run_ids(lineage) == {made.tried, made.parent}
    assert "not in this repository" in lineage.subject
    assert isinstance(forwards, ModelLineage)
    assert forwards.recovery.commands == (
        f"git checkout {made.results[:10]}",
        "dvc exp run -S lr=0.1 train_baseline",
    )


def test_a_run_that_made_no_model_leads_to_those_that_did(made: Made) -> None:
    assert run_ids(made.of_revision(made.evaluation)) == {made.maker, made.restored}
    assert run_ids(made.of_revision(made.parent)) == {made.tried}
    assert run_ids(made.of_revision(made.trial)) == {made.tried}


def test_a_model_that_sync_has_not_tagged_is_known_by_its_own_digest(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    untagged = {tags.MODEL_DIGEST: "untagged", tags.PROCESSOR: "6502"}
    run = make_training(made.store, candidate="transfer", more_tags=untagged)
    card = json.dumps({"model_digest": "untagged"}).encode()
    cards = {"models/transfer/card.json": card}
    monkeypatch.setattr(Repository, "output", lambda self, revision, path: cards.get(path))
    with made.finder() as finder:
        known = finder.index.makers(made.results)
    assert {path: facts[tags.PROCESSOR] for path, facts in known.items()} == {
        "models/baseline": "Z80",
        "models/transfer": "6502",
    }
    lineage = made.of_revision(made.results)
    assert reasons(lineage, run) == ("models/transfer in this commit's dvc.lock is its model",)
    assert made.of_model(run).dvc_hash == "transferred.dir"  # HEAD has it
    made.store.client.delete_run(run)


# what it cannot find


def test_a_model_that_no_run_has_made(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"unknown")
    with pytest.raises(PipelineError, match="No run in MLflow has made") as caught:
        made.trace(str(path))
    assert digest_bytes(b"unknown") in str(caught.value)


def test_a_name_that_not_even_mlflow_remembers(made: Made) -> None:
    with pytest.raises(PipelineError, match="Nothing is called 'muddy-bee'"):
        made.trace("muddy-bee")
    with pytest.raises(PipelineError, match="There is no version 7 of 'digits'"):
        made.trace("models:/digits/7")


def test_a_server_that_is_down_is_one_message(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with (
        made.finder(store=Store(made.workspace)) as finder,
        pytest.raises(PipelineError, match=r"^MLflow could not be reached: nothing answers at") as caught,
    ):
        lineage_of_address(finder, parse_address("main"))
    assert "secret" not in str(caught.value)
