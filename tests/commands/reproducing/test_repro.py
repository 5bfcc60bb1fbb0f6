"""Which DVC commands a reproduction consists of."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.commands.reproducing import repro as reproduction
from pipeline.commands.reproducing.repro import changed_location, located, reproduce
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.processes.child_process import Say
from pipeline.sources.bounds import USUAL
from pipeline.sources.fingerprint import local_fingerprint


@pytest.fixture
def images(workspace: Workspace, project: Path) -> Path:
    """A folder of images that params.yaml names and that data/fetched was imported from."""
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
    source = {"dataset": "folder", "location": location, "fingerprint": local_fingerprint(folder, USUAL)}
    workspace.fetched.mkdir(parents=True, exist_ok=True)
    workspace.source.write_text(json.dumps(source))


@dataclass
class Dvc:
    """Stands for DVC: the commands it got, the exit code of each, and what each does before it ends."""

    commands: list[str] = field(default_factory=list)
    code: int = 0
    then: Callable[[str], None] = lambda command: None

    def run(self, folder: Path, arguments: Sequence[str], environment: Mapping[str, str], say: Say) -> int:
        self.commands.append(" ".join(arguments))
        self.then(self.commands[-1])
        return self.code


@pytest.fixture
def dvc(monkeypatch: pytest.MonkeyPatch) -> Dvc:
    made = Dvc()
    monkeypatch.setattr(reproduction, "run_dvc", made.run)
    return made


def test_what_was_imported_is_compared_with_what_is_there(workspace: Workspace, images: Path) -> None:
    assert changed_location(workspace) is None
    (images / "a.png").write_bytes(b"2")
    assert changed_location(workspace) == images


def test_dvc_sees_for_itself_that_params_name_another_source(workspace: Workspace, images: Path) -> None:
    remember(workspace, images, location="elsewhere")
    (images / "a.png").write_bytes(b"2")
    assert changed_location(workspace) is None


def test_a_source_that_is_gone_leaves_the_import_valid(workspace: Workspace, images: Path) -> None:
    (images / "a.png").unlink()
    images.rmdir()
    assert changed_location(workspace) is None


def test_without_a_change_it_is_dvc_repro(workspace: Workspace, images: Path, dvc: Dvc) -> None:
    assert reproduce(workspace, [], print) == 0
    assert dvc.commands == ["repro"]


def test_a_changed_source_is_imported_again_first(workspace: Workspace, images: Path, dvc: Dvc) -> None:
    (images / "a.png").write_bytes(b"2")

    def import_them(command: str) -> None:
        if "fetch" in command:
            remember(workspace, images)

    dvc.then = import_them
    said: list[str] = []
    assert reproduce(workspace, [], said.append) == 0
    assert dvc.commands == ["repro --single-item --force fetch", "repro"]
    assert said == [f"{images} has changed since its images were imported: importing them again"]


def test_overrides_make_it_an_experiment(workspace: Workspace, images: Path, dvc: Dvc) -> None:
    assert reproduce(workspace, ["lr=0.1", "train_baseline.epochs=3"], print) == 0
    assert dvc.commands == ["exp run -S lr=0.1 -S train_baseline.epochs=3"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr=abc", "lr: expected a number, found 'abc'"),
        ("train_baseline.netwrok=dense", "unknown key; did you mean 'network'"),
        ("train_baseline.epochs", "is not a setting of params.yaml"),
        ("lr.peak=0.1", "is not a setting of params.yaml"),
        ("tune.space.lr.min=2", "min 2.0 is not below max 0.6"),
    ],
)
def test_an_override_that_does_not_fit_changes_nothing(
    workspace: Workspace, images: Path, dvc: Dvc, override: str, message: str
) -> None:
    before = workspace.params.read_bytes()
    with pytest.raises(PipelineError, match=message):
        reproduce(workspace, [override], print)
    assert dvc.commands == []
    assert workspace.params.read_bytes() == before


@pytest.mark.parametrize(
    "override",
    ["lr=1e-5", "train_baseline.widths=[8,16]", 'fetch.location="a b"', "+fetch.class_names.cane=dog"],
)
def test_an_override_that_fits_reaches_dvc(
    workspace: Workspace, images: Path, dvc: Dvc, override: str
) -> None:
    assert reproduce(workspace, [override], print) == 0
    assert dvc.commands[0] == f"exp run -S {override}"


def test_an_import_that_dvc_took_from_its_cache_is_compared_too(
    workspace: Workspace, images: Path, dvc: Dvc
) -> None:
    remember(workspace, images, location="elsewhere")

    def bring_back_what_was_imported_once(command: str) -> None:
        if command.startswith("exp run"):
            remember(workspace, images)
            (images / "a.png").write_bytes(b"new since then")
        if "fetch" in command.split():
            remember(workspace, images)

    dvc.then = bring_back_what_was_imported_once
    assert reproduce(workspace, ["fetch.location=images"], print) == 0
    assert dvc.commands == ["exp run -S fetch.location=images", "repro --single-item --force fetch", "repro"]


def test_a_failure_of_dvc_ends_it(workspace: Workspace, images: Path, dvc: Dvc) -> None:
    assert reproduce(workspace, [], print) == 0
    dvc.code = 255
    assert reproduce(workspace, ["lr=0.1"], print) == 255


def test_settings_that_stay_behind_are_named_after_ctrl_c_too(
    workspace: Workspace, images: Path, dvc: Dvc, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(command: str) -> None:
        raise KeyboardInterrupt

    dvc.then = interrupt
    with pytest.raises(KeyboardInterrupt):
        reproduce(workspace, ["lr=0.1"], print)
    assert "params.yaml keeps these settings" in capsys.readouterr().out


def test_a_copy_of_cifar10_is_read_as_what_it_is(workspace: Workspace, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "cifar-10-binary.tar.gz").touch()

    def is_folder(location: str) -> bool:
        settings = located(location, ["fetch.dataset=cifar10"], workspace)
        return "fetch.dataset=folder" in settings

    assert not is_folder(str(mirror))
    assert not is_folder("copies/cifar-10-binary.tar.gz")
    assert not is_folder("https://mirror.example/cifar")
    assert is_folder("copies/cifar10.tar.gz")
    other = tmp_path / "other"
    other.mkdir()
    assert is_folder(str(other))
    assert located(str(other), ["fetch.dataset=mnist"], workspace) == [f"fetch.location='{other}'"]
