"""Which DVC commands a reproduction consists of."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.commands.reproducing import repro as reproduction
from pipeline.commands.reproducing.repro import changed_location, reproduce
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.sources.fingerprint import local_fingerprint


@pytest.fixture
def images(workspace: Workspace, project: Path) -> Path:
    """A folder of images that params.yaml names and that data/raw was imported from."""
    folder = workspace.root / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"1")
    params = YAML().load((project / "params.yaml").read_text())
    params["fetch"].update(dataset="folder", location="images")
    with workspace.params.open("w") as file:
        YAML().dump(params, file)
    remember(workspace, folder)
    return folder


def remember(workspace: Workspace, folder: Path, location: str = "images") -> None:
    """What the fetch stage writes about its source."""
    source = {"dataset": "folder", "location": location, "fingerprint": local_fingerprint(folder)}
    workspace.raw.mkdir(parents=True, exist_ok=True)
    (workspace.raw / "source.json").write_text(json.dumps(source))


@pytest.fixture
def dvc(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Stands for DVC: `dvc()` returns the commands it got, `dvc(code=1)` lets it fail."""
    commands: list[str] = []
    state = {"code": 0, "then": None}

    def run(folder: Path, arguments: list[str], environment: object, say: Callable[[str], None]) -> int:
        commands.append(" ".join(arguments))
        if state["then"]:
            state["then"](commands[-1])
        return state["code"]

    monkeypatch.setattr(reproduction, "run_dvc", run)

    def control(**changes: object) -> list[str]:
        state.update(changes)
        return commands

    return control


def test_what_was_imported_is_compared_with_what_is_there(workspace, images):
    assert changed_location(workspace) is None
    (images / "a.png").write_bytes(b"2")
    assert changed_location(workspace) == images


def test_dvc_sees_for_itself_that_params_name_another_source(workspace, images):
    remember(workspace, images, location="elsewhere")
    (images / "a.png").write_bytes(b"2")
    assert changed_location(workspace) is None


def test_a_source_that_is_gone_leaves_the_import_valid(workspace, images):
    (images / "a.png").unlink()
    images.rmdir()
    assert changed_location(workspace) is None


def test_without_a_change_it_is_dvc_repro(workspace, images, dvc):
    assert reproduce(workspace, [], print) == 0
    assert dvc() == ["repro"]


def test_a_changed_source_is_imported_again_first(workspace, images, dvc):
    (images / "a.png").write_bytes(b"2")
    dvc(then=lambda command: remember(workspace, images) if "fetch" in command else None)
    said: list[str] = []
    assert reproduce(workspace, [], said.append) == 0
    assert dvc() == ["repro --single-item --force fetch", "repro"]
    assert said == [f"{images} has changed since its images were imported: importing them again"]


def test_overrides_make_it_an_experiment(workspace, images, dvc):
    assert reproduce(workspace, ["lr=0.1", "train_baseline.epochs=3"], print) == 0
    assert dvc() == ["exp run -S lr=0.1 -S train_baseline.epochs=3"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr=abc", "lr: expected a number, found 'abc'"),
        ("train_baseline.netwrok=dense", "unknown key; did you mean 'network'"),
        ("train_baseline.epochs", "is no setting of params.yaml"),
        ("lr.peak=0.1", "is no setting of params.yaml"),
        ("tune.space.lr.min=2", "min 2.0 is not below max 0.6"),
    ],
)
def test_an_override_that_does_not_fit_changes_nothing(workspace, images, dvc, override, message):
    before = workspace.params.read_bytes()
    with pytest.raises(PipelineError, match=message):
        reproduce(workspace, [override], print)
    assert dvc() == []
    assert workspace.params.read_bytes() == before


@pytest.mark.parametrize(
    "override",
    ["lr=1e-5", "train_baseline.widths=[8,16]", 'fetch.location="a b"', "+fetch.class_names.cane=dog"],
)
def test_an_override_that_fits_reaches_dvc(workspace, images, dvc, override):
    assert reproduce(workspace, [override], print) == 0
    assert dvc()[0] == f"exp run -S {override}"


def test_an_import_that_dvc_took_from_its_cache_is_compared_too(workspace, images, dvc):
    remember(workspace, images, location="elsewhere")

    def bring_back_what_was_imported_once(command: str) -> None:
        if command.startswith("exp run"):
            remember(workspace, images)
            (images / "a.png").write_bytes(b"new since then")
        if "fetch" in command.split():
            remember(workspace, images)

    dvc(then=bring_back_what_was_imported_once)
    assert reproduce(workspace, ["fetch.location=images"], print) == 0
    assert dvc() == ["exp run -S fetch.location=images", "repro --single-item --force fetch", "repro"]


def test_a_failure_of_dvc_ends_it(workspace, images, dvc):
    assert reproduce(workspace, [], print) == 0
    dvc(code=255)
    assert reproduce(workspace, ["lr=0.1"], print) == 255


def test_settings_that_stay_behind_are_named_after_ctrl_c_too(workspace, images, dvc, capsys):
    def interrupt(command: str) -> None:
        raise KeyboardInterrupt

    dvc(then=interrupt)
    with pytest.raises(KeyboardInterrupt):
        reproduce(workspace, ["lr=0.1"], print)
    assert "params.yaml keeps these settings" in capsys.readouterr().out
