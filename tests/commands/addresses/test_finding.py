"""Where addresses are looked for, what comes first, and what is said when they mean nothing or too much."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.commands.addresses.address import parse_address
from pipeline.commands.addresses.exported import exported_folder
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
from tests.serving.tiny_model import export, published

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
    assert f"./exports/light/1 (the export {inside}); ./light/1 (" in str(caught.value.expected)
    monkeypatch.chdir(workspace.exports)
    assert look(workspace, "light/1") == Export(Path("light/1")), "which is the same place"


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
    assert str(experiment).startswith("the model best of experiment muddy-ant, commit ")


def test_runs_and_versions(made: Made, find: Find) -> None:
    run = find(made.maker[:8])
    assert isinstance(run, OfRun)
    assert run.run.run_id == made.maker
    assert find("models:/digits@champion") == find("models:/digits/1") == InRegistry("digits", 1)


# names that fit several things


Alternatives = Callable[[str], dict[str, str]]


@pytest.fixture
def alternatives(made: Made, find: Find, monkeypatch: pytest.MonkeyPatch) -> Iterator[Alternatives]:
    """What a name is refused with: what it can mean, by the address that means it alone.

    Afterwards the repository has its branch `main` and no model in its folder again.
    """

    def refused(text: str) -> dict[str, str]:
        with pytest.raises(PipelineError, match=f"'{text}' can mean . things") as caught:
            find(text)
        listed = str(caught.value.expected).removeprefix("one of ").split("; ")
        return {each.partition(" (")[0]: each.partition(" (")[2].removesuffix(")") for each in listed}

    root = made.workspace.root
    monkeypatch.chdir(root)
    before = set(root.iterdir())
    yield refused
    for path in set(root.iterdir()) - before:
        shutil.rmtree(path)
    for ref in git(root, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags").splitlines():
        if ref != "refs/heads/main":
            git(root, "update-ref", "-d", ref)


def put_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.keras").write_bytes(b"weights")
    return folder / "model.keras"


def test_a_folder_and_a_branch(made: Made, find: Find, alternatives: Alternatives) -> None:
    (made.workspace.root / "main").mkdir()
    assert isinstance(find("main"), InRevision), "a folder without a model is not a model"
    (made.workspace.root / "main").rmdir()
    put_model(made.workspace.root / "main")
    listed = alternatives("main")
    assert list(listed) == ["./main/model.keras", "refs/heads/main"]
    assert listed["refs/heads/main"].startswith(f"commit {made.results[:7]} results")
    assert find("./main") == find("./main/model.keras") == OnDisk(Path("main/model.keras"))
    revision = find("refs/heads/main")
    assert isinstance(revision, InRevision)
    assert revision.commit == made.results
    assert find("main:tuned") == replace(revision, name="main", candidate="tuned"), "no folder is called so"


def test_a_run_a_branch_and_a_folder(made: Made, find: Find, alternatives: Alternatives) -> None:
    for name in (made.maker[:8], made.maker):
        git(made.workspace.root, "branch", name)
        put_model(made.workspace.root / name)
    listed = alternatives(made.maker[:8])
    assert list(listed) == [
        f"./{made.maker[:8]}/model.keras",
        f"refs/heads/{made.maker[:8]}",
        made.maker,
    ]
    assert listed[made.maker] == f"run {made.maker} (baseline)"
    assert isinstance(find(made.maker), OfRun), "an id in full is never anything else"


def test_a_full_hash_means_its_commit(made: Made, find: Find, alternatives: Alternatives) -> None:
    git(made.workspace.root, "branch", made.code)  # of another commit
    put_model(made.workspace.root / made.code)
    commit = find(made.code)
    assert isinstance(commit, InRevision)
    assert commit.commit == made.code


def test_a_branch_and_a_tag(made: Made, find: Find, alternatives: Alternatives) -> None:
    git(made.workspace.root, "branch", "v1/later")
    git(made.workspace.root, "tag", "--annotate", "--message", "v1", "v1", made.results)
    assert isinstance(find("v1"), InRevision), "v1/later is another branch"
    git(made.workspace.root, "branch", "--delete", "v1/later")
    git(made.workspace.root, "branch", "v1")
    assert isinstance(find("v1"), InRevision), "they are the same commit"
    git(made.workspace.root, "branch", "--force", "v1", made.code)
    assert set(alternatives("v1")) == {"refs/heads/v1", "refs/tags/v1"}
    assert set(alternatives("v1:tuned")) == {"refs/heads/v1:tuned", "refs/tags/v1:tuned"}
    revision = find("refs/heads/v1:tuned")
    assert isinstance(revision, InRevision)
    assert (revision.commit, revision.candidate) == (made.code, "tuned")


@pytest.mark.parametrize("name", ["tuned", "best"])
def test_a_candidate_and_a_branch_or_folder(
    made: Made, find: Find, alternatives: Alternatives, name: str
) -> None:
    candidate = put_model(made.workspace.model("tuned"))
    write_json(made.workspace.best, {"candidate": "tuned"})
    assert find(name) == InWorkingTree("tuned")
    git(made.workspace.root, "branch", name)
    put_model(made.workspace.root / name)
    listed = alternatives(name)
    assert list(listed) == ["./models/tuned", f"./{name}/model.keras", f"refs/heads/{name}"]
    assert listed["./models/tuned"] == "the model tuned in the working tree"
    assert find("./models/tuned") == OnDisk(candidate.relative_to(made.workspace.root))
    assert isinstance(find(f"refs/heads/{name}"), InRevision)
    with made.finder() as finder:
        assert finder.best() == InWorkingTree("tuned"), "what nobody has typed cannot be misread"


def test_an_experiment_called_as_a_candidate(made: Made, find: Find, alternatives: Alternatives) -> None:
    experiment = make_experiment(Repository(made.workspace.root), "transfer", "schema: '2.0'\n")
    try:
        assert list(alternatives("transfer")) == ["./models/transfer", experiment.commit]
        assert str(find(experiment.commit)).startswith("experiment transfer, commit ")
    finally:
        baseline = experiment.baseline
        ref = f"refs/exps/{baseline[:2]}/{baseline[2:]}/transfer"
        git(made.workspace.root, "update-ref", "-d", ref)


def test_the_published_export_and_a_branch(made: Made, find: Find, alternatives: Alternatives) -> None:
    folder = published(made.workspace.exports, export(made.workspace.exports, name="light"))
    assert find("published") == find("light") == Export(folder)
    for name in ("published", "light"):
        git(made.workspace.root, "branch", name)
        assert list(alternatives(name)) == ["./exports/light/1", f"refs/heads/{name}"]
    assert find("./exports/light/1") == Export(Path("exports/light/1"))
    assert exported_folder(made.workspace, made.store, None) == folder, "which nobody has typed"


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
        ("digits/1", "'dvc exp pull' bring those of colleagues"),
        ("digits@champion", "'dvc exp pull' bring those of colleagues"),
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


def test_what_can_be_no_run_needs_neither_mlflow_nor_dvc(workspace: Workspace, project: Path) -> None:
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
print(*folders, *sorted({"mlflow", "dvc", "filelock", "pydantic"} & set(sys.modules)))
"""
    command, environment = [sys.executable, "-c", source], {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(
        command, cwd=workspace.root, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"{folder}\n", "")
