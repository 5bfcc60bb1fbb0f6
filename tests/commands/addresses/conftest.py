"""A repository and a store with what addresses can mean."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.commands.addresses.address import parse_address
from pipeline.commands.addresses.finding import Finder
from pipeline.commands.addresses.lineages import lineage_of_address
from pipeline.foundation.digests import digest_bytes
from pipeline.foundation.workspace import Workspace
from pipeline.repository.repository import Repository
from pipeline.tracking import tags
from pipeline.tracking.lineage.index import Index
from pipeline.tracking.lineage.values import Lineage, ModelLineage, RevisionLineage, RunSummary
from pipeline.tracking.store import Store
from tests.repository.test_repository import commit, git, make_experiment
from tests.tracking.conftest import EXPERIMENT
from tests.tracking.made_runs import changed, make_parent, make_training

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

    @contextmanager
    def finder(self, workspace: Workspace | None = None, store: Store | None = None) -> Iterator[Finder]:
        """Looks from this repository, or from another one, into the same experiment of MLflow."""
        store = store or self.store
        with Finder(workspace or self.workspace, store) as finder:
            finder.index = Index(store, EXPERIMENT)  # params.yaml is too short to name it
            yield finder

    def trace(self, what: str) -> Lineage:
        with self.finder() as finder:
            return lineage_of_address(finder, parse_address(what))

    def of_model(self, what: str) -> ModelLineage:
        lineage = self.trace(what)
        assert isinstance(lineage, ModelLineage)
        return lineage

    def run_of(self, what: str) -> RunSummary:
        run = self.of_model(what).run
        assert run is not None
        return run

    def of_revision(self, what: str) -> RevisionLineage:
        lineage = self.trace(what)
        assert isinstance(lineage, RevisionLineage)
        return lineage


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """One for all tests of a module: making a store takes seconds."""
    folder = tmp_path_factory.mktemp("project")
    workspace = Workspace(root=folder, home=folder)
    with Store(workspace) as store:
        yield Made(workspace, store)


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC's cache on a colleague's machine: it has none of these models."""
    monkeypatch.setattr(Repository, "cached", lambda self, revision, path: False)
