"""`compare` on results of a working tree, of revisions, and of what MLflow knows."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.commands.addresses.address import parse_address
from pipeline.commands.models.compare import compare_models
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json
from pipeline.foundation.workspace import Workspace
from pipeline.params.whole import load_params
from pipeline.repository import repository, stage_outputs
from pipeline.repository.repository import Experiment, Lock, Repository, StageLock
from pipeline.repository.stage_outputs import StageOutputs
from pipeline.tracking import tags
from pipeline.tracking.store import Store
from tests.reporting.fake_project import write_fake_project
from tests.tracking.made_outputs import lock_of

COMMIT, OTHER_COMMIT = "c" * 40, "d" * 40


@dataclass
class Revisions:
    """What git, DVC and MLflow would answer: a fake project folder by commit, and the working tree's."""

    workspace: Workspace
    folders: dict[str, Path] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict)

    def outputs(self, commit: str, experiment: str) -> StageOutputs:
        folder = self.folders.get(commit)

        def find(path: Path) -> Path | None:
            file = folder / path.relative_to(self.workspace.root) if folder else None
            return file if file and file.exists() else None

        lock = lock_of()
        fetch = StageLock(
            inputs={},
            params={"fetch": {"dataset": "digits"}},
            outputs={"data/raw": self.raw.get(commit, "raw.dir")},
            sizes={},
        )
        lock = Lock("", {"fetch": fetch, **lock.stages})
        return StageOutputs(self.workspace, experiment, commit, commit, 0, {}, lock, lock, find)


@pytest.fixture
def revisions(
    workspace: Workspace, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Revisions:
    shutil.copy(project / "params.yaml", workspace.params)
    made = Revisions(workspace)
    made.folders[""] = workspace.root
    write_fake_project(workspace.root)

    class FakeRepository(Repository):
        def git_commit(self, revision: str) -> str | None:
            return revision if revision in made.folders else made.names.get(revision)

        def experiments(self) -> list[Experiment]:
            return []

        def names(self) -> list[str]:
            return list(made.names)

        def title(self, revision: str) -> str:
            return f"{revision[:7]} A title"

        def first_commit_with(self, dvc_hash: str) -> str | None:
            return None

    monkeypatch.setattr(repository, "Repository", FakeRepository)
    monkeypatch.setattr(
        stage_outputs, "outputs_in_working_tree", lambda workspace, repository: made.outputs("", "")
    )
    monkeypatch.setattr(
        stage_outputs,
        "outputs_of_commit",
        lambda workspace, repository, experiment, scratch, cards: made.outputs(
            experiment.commit, experiment.name
        ),
    )
    return made


@pytest.fixture
def compare(revisions: Revisions) -> Callable[..., list[str]]:
    """Runs the command; returns its lines."""

    def run(first: str, second: str, output: Path | None = None) -> list[str]:
        lines: list[str] = []
        models = (parse_address(first), parse_address(second))
        with Store(revisions.workspace) as store:
            compare_models(revisions.workspace, store, *models, output, lines.append)
        return lines

    return run


def add(revisions: Revisions, name: str, commit: str, folder: Path) -> None:
    write_fake_project(folder)
    revisions.folders[commit], revisions.names[name] = folder, commit


def test_candidates_of_the_working_tree(compare: Callable[..., list[str]], revisions: Revisions) -> None:
    # Of 100 test images baseline gets 10 wrong (0, 4, ... 36) and transfer 5 of these.
    lines = compare("baseline", "best")
    assert lines[0] == "A: baseline: baseline of the working tree"
    assert lines[1] == "B: best: transfer of the working tree"
    assert "B alone gets 5 right, A alone 0" in lines[2]
    page = revisions.workspace.compared_models / "baseline-best.html"
    assert 'id="right_in_B"' in page.read_text(encoding="utf-8")
    assert lines[3].endswith("baseline-best.html")


def test_best_of_a_revision_and_one_of_its_candidates(
    compare: Callable[..., list[str]], revisions: Revisions, tmp_path: Path
) -> None:
    add(revisions, "main", COMMIT, tmp_path / "main")
    lines = compare("main", "main:tuned", output=tmp_path / "out" / "page.html")
    assert lines[0].startswith("A: main: transfer of commit ccccccc A title")
    assert lines[1].startswith("B: main:tuned: tuned of commit ccccccc")
    assert (tmp_path / "out" / "page.html").exists()


def test_revisions_with_other_images_are_not_compared_image_by_image(
    compare: Callable[..., list[str]], revisions: Revisions, tmp_path: Path
) -> None:
    add(revisions, "main", COMMIT, tmp_path / "main")
    add(revisions, "other", OTHER_COMMIT, tmp_path / "other")
    assert "B alone gets 0 right" in compare("main", "other")[2]
    revisions.raw[OTHER_COMMIT] = "others.dir"
    assert "were not tested on the same images" in compare("main", "other")[2]


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_a_run_is_found_where_its_very_model_lies(
    compare: Callable[..., list[str]], revisions: Revisions, tmp_path: Path
) -> None:
    add(revisions, "main", COMMIT, tmp_path / "main")
    digest = read_json(tmp_path / "main" / "models" / "tuned" / "card.json")["model_digest"]
    with Store(revisions.workspace) as store:
        experiment = load_params(revisions.workspace.params).tracking.experiment
        run_of = partial(_make_run, store.client, store.experiment_id(experiment))
        run, gone, without = run_of(digest), run_of("e" * 64), run_of("")
    # The working tree holds another model of the same candidate.
    card = revisions.workspace.card("tuned")
    card.write_text(card.read_text().replace(digest, "f" * 64))
    lines = compare(run[:8], "best")
    assert lines[0] == f"A: {run[:8]}: tuned of run {run} (tuned); commit ccccccc A title"
    with pytest.raises(PipelineError, match=f"No evaluation of run {gone}"):
        compare(gone, "best")
    with pytest.raises(PipelineError, match=f"No model of run {without}"):
        compare(without, "best")


def _make_run(client: MlflowClient, experiment: str, digest: str) -> str:
    values = {
        tags.GIT_COMMIT: COMMIT,
        tags.CANDIDATE: "tuned",
        **({tags.MODEL_DIGEST: digest} if digest else {}),
    }
    return str(client.create_run(experiment, tags=values, run_name="tuned").info.run_id)


def test_a_revision_whose_files_are_gone(compare: Callable[..., list[str]], revisions: Revisions) -> None:
    revisions.names["main"] = COMMIT
    with pytest.raises(PipelineError, match="cannot be read") as caught:
        compare("main", "best")
    assert caught.value.remedy == "name a candidate, such as main:baseline"
    with pytest.raises(PipelineError, match="No evaluation of the model tuned of commit ccccccc") as caught:
        compare("main:tuned", "best")
    assert "dvc pull" in str(caught.value.remedy)
    assert not revisions.workspace.compared_models.exists()


def test_images_that_are_gone_leave_the_rest(
    compare: Callable[..., list[str]], revisions: Revisions, tmp_path: Path
) -> None:
    (revisions.workspace.subset("test") / "images.npy").unlink()
    compare("baseline", "tuned", output=tmp_path / "page.html")
    assert "cannot be shown" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_folder_where_the_page_should_be(compare: Callable[..., list[str]], tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="--output names a folder"):
        compare("baseline", "tuned", output=tmp_path)
