"""`compare` on results of a working tree, of revisions, and of what MLflow knows."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from pipeline.commands.addresses.address import parse_address
from pipeline.commands.models.compare import compare_models
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json
from pipeline.foundation.workspace import CANDIDATES, SUBSETS, Workspace
from pipeline.params.whole import load_params
from pipeline.repository.dvc_hash import dvc_hash
from pipeline.repository.repository import Repository
from pipeline.repository.stage_outputs import EVALUATION, TRAININGS
from pipeline.tracking import tags
from pipeline.tracking.store import Store
from tests.reporting.fake_project import write_fake_project
from tests.repository.test_repository import commit, git


class Revisions:
    """A repository of git whose working tree is a fake project; of other commits DVC's cache is a folder."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.folders: dict[str, Path] = {}
        git(workspace.root, "init", "--quiet", "--initial-branch=trunk")
        (workspace.root / ".gitignore").write_text("/*\n!/dvc.lock\n")
        write_fake_project(workspace.root)
        write_lock(workspace, {})
        commit(workspace.root, "The working tree")

    def add(self, name: str, cache: Path | None, **hashes: str) -> str:
        """A commit with a tag, whose outputs DVC has in a folder or no more; `hashes` are other than here."""
        write_lock(self.workspace, hashes)
        made = commit(self.workspace.root, "A title")
        git(self.workspace.root, "tag", name)
        git(self.workspace.root, "checkout", "--quiet", "HEAD~1")
        if cache is not None:
            write_fake_project(cache)
            self.folders[made] = cache
        return made

    def copy_output(self, revision: str, path: str, target: Path) -> bool:
        """As `Repository.copy_output`, which takes a second."""
        source = self.folders.get(revision, Path("nowhere")) / path
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.is_file():
            shutil.copy(source, target)
        return source.exists()


def write_lock(workspace: Workspace, hashes: dict[str, str]) -> None:
    """A dvc.lock of all that a fake project has, with its hashes but for these."""

    def listed(*paths: Path) -> list[dict[str, str]]:
        return [
            {
                "path": path.relative_to(workspace.root).as_posix(),
                "md5": hashes.get(path.name) or dvc_hash(path),
            }
            for path in paths
        ]

    models = [workspace.model(candidate) for candidate in CANDIDATES]
    params = {"params.yaml": {"fetch": {"dataset": "digits"}}}
    evaluated = [workspace.scores, workspace.references, workspace.predictions, workspace.best]
    arrays = [workspace.subset(subset) for subset in SUBSETS]
    stages = {
        "fetch": {"params": params, "outs": listed(workspace.fetched)},
        "preprocess": {"outs": listed(*arrays)},
        **{stage: {"outs": listed(workspace.model(each))} for stage, each in TRAININGS.items()},
        EVALUATION: {"deps": listed(*models), "outs": listed(*evaluated)},
    }
    YAML().dump({"stages": stages}, workspace.lock)


@pytest.fixture
def revisions(workspace: Workspace, project: Path, monkeypatch: pytest.MonkeyPatch) -> Revisions:
    shutil.copy(project / "params.yaml", workspace.params)
    made = Revisions(workspace)
    monkeypatch.setattr(Repository, "copy_output", lambda _, *arguments: made.copy_output(*arguments))
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
    made = revisions.add("main", tmp_path / "main")
    lines = compare("main", "main:tuned", output=tmp_path / "out" / "page.html")
    assert lines[0].startswith(f"A: main: transfer of commit {made[:7]} A title")
    assert lines[1].startswith(f"B: main:tuned: tuned of commit {made[:7]}")
    assert (tmp_path / "out" / "page.html").exists()


def test_revisions_with_other_images_are_not_compared_image_by_image(
    compare: Callable[..., list[str]], revisions: Revisions, tmp_path: Path
) -> None:
    revisions.add("main", tmp_path / "main")
    revisions.add("same", tmp_path / "same")
    revisions.add("other", tmp_path / "other", fetched="others.dir", test="others.dir")
    assert "right and wrong on the very same test images" in compare("main", "same")[2]
    assert "were not tested on the same images" in compare("main", "other")[2]


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_a_run_is_found_where_its_very_model_lies(
    compare: Callable[..., list[str]], revisions: Revisions, tmp_path: Path
) -> None:
    made = revisions.add("main", tmp_path / "main")
    digest = read_json(tmp_path / "main" / "models" / "tuned" / "card.json")["model_digest"]
    with Store(revisions.workspace) as store:
        experiment = load_params(revisions.workspace.params).tracking.experiment
        run_of = partial(_make_run, store.client, store.experiment_id(experiment), made)
        run, gone, without = run_of(digest), run_of("e" * 64), run_of("")
    # The working tree holds another model of the same candidate.
    card = revisions.workspace.card("tuned")
    card.write_text(card.read_text().replace(digest, "f" * 64))
    lines = compare(run[:8], "best")
    assert lines[0].startswith(f"A: {run[:8]}: tuned of run {run} (tuned); commit {made[:7]} A title")
    with pytest.raises(PipelineError, match=f"No evaluation of run {gone}"):
        compare(gone, "best")
    with pytest.raises(PipelineError, match=f"No model of run {without}"):
        compare(without, "best")


def _make_run(client: MlflowClient, experiment: str, commit: str, digest: str) -> str:
    values = {
        tags.GIT_COMMIT: commit,
        tags.CANDIDATE: "tuned",
        **({tags.MODEL_DIGEST: digest} if digest else {}),
    }
    return str(client.create_run(experiment, tags=values, run_name="tuned").info.run_id)


def test_a_revision_whose_files_are_gone(compare: Callable[..., list[str]], revisions: Revisions) -> None:
    made = revisions.add("main", None)
    with pytest.raises(PipelineError, match="cannot be read") as caught:
        compare("main", "best")
    assert caught.value.remedy == "name a candidate, such as main:baseline"
    missing = f"No evaluation of the model tuned of commit {made[:7]}"
    with pytest.raises(PipelineError, match=missing) as caught:
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
