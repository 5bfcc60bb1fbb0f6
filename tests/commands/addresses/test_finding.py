"""Where addresses are looked for, what comes first, and what is said when they mean nothing or too much."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.commands.addresses.address import parse_address
from pipeline.commands.addresses.finding import Finder
from pipeline.commands.addresses.found import (
    Export,
    Found,
    InRegistry,
    InRevision,
    InWorkingTree,
    OfRun,
    OnDisk,
)
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_json
from pipeline.foundation.workspace import Workspace
from pipeline.repository.repository import Repository
from pipeline.tracking.store import Store
from tests.commands.addresses.conftest import Made
from tests.repository.test_repository import git, make_experiment
from tests.serving.tiny_model import export

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

Find = Callable[[str], Found]


@pytest.fixture
def find(made: Made) -> Find:
    def found(text: str) -> Found:
        with made.finder() as finder:
            return finder.find(parse_address(text))

    return found


# in the working tree and on disk


def look(workspace: Workspace, text: str) -> Found:
    """In a folder that is not a repository and has no store."""
    with Finder(workspace, Store(workspace)) as finder:
        return finder.find(parse_address(text))


def test_candidates_are_those_of_the_working_tree(workspace: Workspace) -> None:
    write_json(workspace.best, {"candidate": "transfer"})
    export(workspace.exports, name="tuned")
    assert look(workspace, "best") == InWorkingTree("transfer")
    assert look(workspace, "tuned") == InWorkingTree("tuned")


def test_a_network_is_named_by_itself_or_by_its_folder(workspace: Workspace, tmp_path: Path) -> None:
    network = tmp_path / "elsewhere" / "model.keras"
    network.parent.mkdir()
    network.write_bytes(b"weights")
    assert look(workspace, str(network)) == look(workspace, str(network.parent)) == OnDisk(network)


def test_an_export_is_named_by_its_folder_or_by_its_place(workspace: Workspace) -> None:
    first, latest = (export(workspace.exports, name="light", version=version) for version in (2, 10))
    (workspace.exports / "light" / "draft").mkdir()
    assert (
        look(workspace, "light")
        == look(workspace, "light/10")
        == look(workspace, str(latest))
        == Export(latest)
    )
    assert look(workspace, "light/2") == Export(first)
    with pytest.raises(PipelineError, match="Nothing is called 'light/3'"):
        look(workspace, "light/3")
    write_json(workspace.exports / "published.json", {"folder": "light/2"})
    assert look(workspace, "published") == Export(first)


def test_two_things_on_disk_are_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = export(workspace.exports, name="light")
    export(workspace.root, name="light")
    monkeypatch.chdir(workspace.root)
    with pytest.raises(PipelineError, match="'light' can mean 2 things") as caught:
        look(workspace, "light")
    assert str(inside) in str(caught.value.found)
    monkeypatch.chdir(workspace.exports)
    assert look(workspace, "light/1") == Export(Path("light/1")), "which is the same place"


def test_what_lies_on_disk_comes_before_what_git_calls_so(
    made: Made, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made.workspace.root)
    folder = made.workspace.root / "main"
    folder.mkdir()
    try:
        assert isinstance(find("main"), InRevision), "a folder without a model is not a model"
        (folder / "model.keras").write_bytes(b"weights")
        assert find("main") == OnDisk(Path("main/model.keras"))
        assert isinstance(find("refs/heads/main"), InRevision)
    finally:
        (folder / "model.keras").unlink(missing_ok=True)
        folder.rmdir()


# in git, DVC and MLflow


def test_revisions_and_their_candidates(made: Made, find: Find) -> None:
    commit = find("main")
    assert isinstance(commit, InRevision)
    assert (commit.commit, commit.candidate) == (made.results, None)
    assert commit.title.startswith(f"commit {made.results[:7]} results")
    assert find("HEAD:tuned") == InRevision("HEAD", made.results, commit.title, "tuned")
    experiment = find("muddy-ant:best")
    assert isinstance(experiment, InRevision)
    assert (experiment.commit, experiment.candidate) == (made.experiment.commit, "best")
    assert str(experiment).startswith("best of experiment muddy-ant, commit ")


def test_runs_and_versions(made: Made, find: Find) -> None:
    run = find(made.maker[:8])
    assert isinstance(run, OfRun)
    assert run.run.run_id == made.maker
    assert (
        find("models:/digits@champion")
        == find("digits@champion")
        == find("digits/1")
        == InRegistry("digits", 1)
    )


def test_a_word_with_several_meanings_is_refused_and_they_are_listed(made: Made, find: Find) -> None:
    git(made.workspace.root, "branch", made.maker[:8])
    try:
        with pytest.raises(PipelineError, match="can mean 2 things") as caught:
            find(made.maker[:8])
        assert f"commit {made.results[:7]} results" in str(caught.value.found)
        assert f"run {made.maker} (baseline)" in str(caught.value.found)
    finally:
        git(made.workspace.root, "branch", "-D", made.maker[:8])


def test_an_experiment_that_was_run_on_two_commits_is_refused(made: Made, find: Find) -> None:
    git(made.workspace.root, "commit", "--quiet", "--allow-empty", "--message", "later")
    later = git(made.workspace.root, "rev-parse", "HEAD")
    try:
        other = make_experiment(Repository(made.workspace.root), "muddy-ant", "schema: '2.0'\n")
        with pytest.raises(PipelineError, match="'muddy-ant' can mean 2 things"):
            find("muddy-ant")
        with pytest.raises(PipelineError, match="'muddy-ant:tuned' can mean 2 things"):
            find("muddy-ant:tuned")
        assert isinstance(find(other.commit), InRevision)
    finally:
        git(made.workspace.root, "update-ref", "-d", f"refs/exps/{later[:2]}/{later[2:]}/muddy-ant")
        git(made.workspace.root, "reset", "--quiet", "--hard", made.results)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("tunde", "did you mean 'tuned'?"),
        ("mian", "did you mean 'main'?"),
        ("muddy-bee", "did you mean 'muddy-ant'?"),
        ("mian:tuned", "did you mean 'main'?"),
        ("f" * 32, "'python -m pipeline runs' lists runs"),
        ("digits/7", "'dvc exp pull' bring those of colleagues"),
        ("it's", "'git fetch'"),
        ("--all", "'git fetch'"),
    ],
)
def test_what_nothing_is_called_is_said_with_what_is_close(find: Find, text: str, suggestion: str) -> None:
    with pytest.raises(PipelineError, match="Nothing is called") as caught:
        find(text)
    assert suggestion in str(caught.value.remedy)
    assert "models:/NAME@ALIAS" in str(caught.value.expected)


def test_an_alias_or_version_that_is_not_there(find: Find) -> None:
    with pytest.raises(PipelineError, match="No version of 'digits' is 'none'") as caught:
        find("models:/digits@none")
    assert caught.value.expected == "one of champion, fallback"


def test_a_store_that_is_down_matters_only_where_it_is_needed(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with made.finder(store=Store(made.workspace)) as finder:
        assert isinstance(finder.find(parse_address("main")), InRevision)
        assert isinstance(finder.find(parse_address(made.results[:7])), InRevision)
        with pytest.raises(PipelineError, match=r"nothing answers at http://127\.0\.0\.1:9") as caught:
            finder.find(parse_address("abcdef0"))
        assert "secret" not in str(caught.value)


def test_what_needs_neither_git_nor_mlflow_imports_neither(workspace: Workspace, project: Path) -> None:
    write_json(workspace.best, {"candidate": "transfer"})
    write_json(workspace.card("transfer"), {"model_digest": "d" * 64})
    folder = export(workspace.exports, name="light")
    values = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    write_json(folder / "export.json", {**values, "model_digest": "d" * 64})
    source = """
import sys
from pathlib import Path
from pipeline.commands.addresses.address import parse_address
from pipeline.commands.addresses.exported import exported_folder
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.store import Store
workspace = Workspace(Path.cwd(), Path.cwd())
with Store(workspace) as store:
    texts = ("best", "light", "models:/light/1")
    folders = {exported_folder(workspace, store, parse_address(text)) for text in texts}
print(*folders, *sorted({"mlflow", "dvc", "ruamel.yaml", "filelock", "pydantic"} & set(sys.modules)))
"""
    command, environment = [sys.executable, "-c", source], {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(
        command, cwd=workspace.root, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"{folder}\n", "")
