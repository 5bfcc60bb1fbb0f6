"""Promotions, refusals and rollbacks in a real MLflow store, whatever others do meanwhile."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.commands.registry import reevaluation
from pipeline.commands.registry.history import show_history
from pipeline.commands.registry.promote import promote
from pipeline.commands.registry.rollback import rollback
from pipeline.foundation.errors import EXIT_REFUSED, PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import arrays_digest
from pipeline.images.catalogue import Catalogue, CatalogueEntry, ImageTarWriter
from pipeline.images.decoding import encode_png
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.scoring.predictions import Predictions
from pipeline.tracking import tags
from pipeline.tracking.registry.decisions import VersionName, new_key
from pipeline.tracking.registry.model_use import EncodedFiles, Use
from pipeline.tracking.registry.registry import CHALLENGER, CHAMPION, Registry
from pipeline.tracking.store import Store
from tests.tracking.made_versions import CLASSES, IMAGES, answers, make_version

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

GOOD, BETTER, WORSE = answers(range(20)), answers(range(4)), answers(range(60))


Decide = Callable[..., int]
Challenge = Callable[..., int]


class Killed(BaseException):
    """Stands for SIGKILL at a certain moment."""


@pytest.fixture(scope="module")
def store(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all tests of the module: making one takes seconds."""
    folder = tmp_path_factory.mktemp("project")
    params = (project / "params.yaml").read_text(encoding="utf-8")
    assert "weak_after: 10 " in params
    (folder / "params.yaml").write_text(params.replace("weak_after: 10 ", "weak_after: 3 "), encoding="utf-8")
    with Store(Workspace(root=folder, home=folder)) as opened:
        yield opened


@pytest.fixture
def workspace(store: Store) -> Workspace:
    return store.workspace


@pytest.fixture
def registry(store: Store, request: pytest.FixtureRequest) -> Registry:
    """A registered model of its own for each test."""
    return Registry(store, request.node.name.replace("[", " ").rstrip("]"))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def decide(workspace: Workspace, store: Store, registry: Registry, said: list[str]) -> Decide:
    """`promote` for this test's model."""

    def call(force: bool = False, reason: str = "") -> int:
        return promote(workspace, store, registry.name, force, reason, said.append)

    return call


@pytest.fixture
def challenge(registry: Registry) -> Challenge:
    """Makes a version with these predictions challenger; returns its number."""

    def make(predictions: Predictions, name: str, **values: Any) -> int:
        version = make_version(registry, predictions, name=name, **values)
        registry.set_alias(CHALLENGER, version.number)
        return version.number

    return make


def words(printed: str) -> str:
    """What was printed, wherever lines and unbreakable spaces are."""
    return " ".join(printed.split())


def kinds(registry: Registry) -> list[str]:
    return [decision.kind for decision in registry.read().decisions]


def champion(registry: Registry) -> int | None:
    return registry.read().aliases.get(CHAMPION)


def test_a_first_model_that_beats_the_references_becomes_champion(
    registry: Registry,
    decide: Decide,
    challenge: Challenge,
    said: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    challenge(GOOD, "first")
    assert decide(reason="as agreed") == 0
    model = registry.read()
    assert model.aliases == {CHAMPION: 1}
    (decision,) = model.decisions
    assert (decision.kind, decision.version.version, decision.champion) == ("promoted", 1, None)
    assert (decision.reason, decision.number, decision.test_images) == ("as agreed", 1, IMAGES)
    assert decision.who.partition("@")[2]
    by_name = {gate.name: gate for gate in decision.gates}
    assert by_name["better than the champion"].outcome == "not applicable"
    # The logistic regression gets 40 wrong, this model 20 of the same ones.
    assert by_name["not worse than logistic regression"].figures["only_challenger_right"] == 20
    version = registry.version(1)
    assert (version.tags[tags.DECISION], version.tags[tags.DECIDED]) == ("promoted", decision.when)
    assert said[-1] == "version 1 is champion"
    printed = capsys.readouterr().out
    assert "version 1 (baseline), 95.0 % right" in words(printed)
    assert "champion: none yet" in words(printed)


def test_a_first_model_that_does_not_is_refused(
    registry: Registry, decide: Decide, challenge: Challenge
) -> None:
    challenge(WORSE, "first")
    assert decide() == EXIT_REFUSED
    assert registry.read().aliases == {CHALLENGER: 1}
    assert registry.read().decisions[0].failed == ["not worse than logistic regression"]
    assert registry.version(1).tags[tags.DECISION] == "refused"


def test_a_better_challenger_replaces_the_champion_and_a_worse_one_does_not(
    registry: Registry,
    decide: Decide,
    challenge: Challenge,
    said: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    challenge(GOOD, "first")
    decide()
    challenge(BETTER, "second")
    assert decide() == 0
    assert (champion(registry), said[-1]) == (2, "version 2 is champion, instead of version 1")
    challenge(WORSE, "third")
    assert decide() == EXIT_REFUSED
    assert champion(registry) == 2
    assert said[-1] == (
        "refused by better than the champion, gain in accuracy, recall of every class; "
        "version 2 stays champion"
    )
    assert kinds(registry) == ["promoted", "promoted", "refused"]
    printed = capsys.readouterr().out
    assert "version 2 (baseline), 99.0 % right" in words(printed)
    assert sum(line.rstrip().endswith(" failed") for line in printed.splitlines()) == 3


def test_force_overrides_and_is_recorded_as_such(
    registry: Registry, decide: Decide, challenge: Challenge
) -> None:
    challenge(BETTER, "first")
    decide()
    challenge(WORSE, "second")
    assert decide(force=True, reason="the other one leaks") == 0
    assert champion(registry) == 2
    decision = registry.read().decisions[-1]
    assert (decision.kind, decision.reason) == ("forced", "the other one leaks")
    assert "better than the champion" in decision.failed
    assert registry.version(2).tags[tags.DECISION] == "forced"


def test_force_that_was_not_needed_is_a_promotion(
    registry: Registry, decide: Decide, challenge: Challenge
) -> None:
    challenge(GOOD, "first")
    decide(force=True, reason="in a hurry")
    assert kinds(registry) == ["promoted"]


@pytest.mark.parametrize(("tag", "value"), [(tags.LATENCY_MS, "260"), (tags.SIZE_BYTES, "50000001")])
def test_the_limits_of_params_yaml_count(decide: Decide, challenge: Challenge, tag: str, value: str) -> None:
    challenge(GOOD, "first", **{tag: value})
    assert decide() == EXIT_REFUSED


def test_without_a_challenger_there_is_nothing_to_decide(
    registry: Registry, decide: Decide, challenge: Challenge
) -> None:
    with pytest.raises(PipelineError, match="No model called"):
        decide()
    challenge(GOOD, "first")
    decide()
    with pytest.raises(PipelineError, match="There is no challenger"):
        decide()
    registry.set_alias(CHALLENGER, 1)
    with pytest.raises(PipelineError, match="Version 1 is the champion already"):
        decide()
    assert registry.read().aliases == {CHAMPION: 1}
    assert kinds(registry) == ["promoted"]


def test_decisions_are_counted_per_test_subset_and_many_make_weak(
    registry: Registry, decide: Decide, challenge: Challenge, capsys: pytest.CaptureFixture[str]
) -> None:
    challenge(WORSE, "first")
    decide()
    decide()
    challenge(WORSE, "elsewhere", test_digest="u" * 64)
    decide()
    assert [decision.number for decision in registry.read().decisions] == [1, 2, 1]
    assert "weak" not in capsys.readouterr().out
    registry.set_alias(CHALLENGER, 1)
    decide()
    printed = words(capsys.readouterr().out)
    assert "Decision 3 on this test subset" in printed
    assert "7.3 %" in printed  # 1 - 0.975^3
    assert "The verdict is weak" in printed


# --- others at the same time ------------------------------------------------------------------------


def test_an_alias_that_somebody_moves_before_the_decision_is_carried_out_stays(
    registry: Registry, decide: Decide, challenge: Challenge, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge(GOOD, "first")
    decide()
    make_version(registry, WORSE, name="by hand")
    challenge(BETTER, "third")
    record = Registry.record

    def move_then_record(self: Registry, decision: Any) -> None:
        if decision.kind != "conflict":
            registry.set_alias(CHAMPION, 2)
        record(self, decision)

    monkeypatch.setattr(Registry, "record", move_then_record)
    with pytest.raises(PipelineError, match="Version 3 was not made champion: somebody has made version 2"):
        decide()
    monkeypatch.undo()
    assert registry.read().aliases == {CHAMPION: 2, CHALLENGER: 3}
    decisions = registry.read().decisions
    assert [each.kind for each in decisions] == ["promoted", "promoted", "conflict"]
    assert decisions[2].cancels == decisions[1].key


def test_of_two_decisions_on_two_machines_the_one_that_sees_the_other_gives_way(
    registry: Registry, decide: Decide, challenge: Challenge, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge(GOOD, "first")
    decide()
    challenge(BETTER, "second")
    challenge(answers([]), "third")
    record = Registry.record

    def let_the_other_be_first(self: Registry, decision: Any) -> None:
        monkeypatch.setattr(Registry, "record", record)
        # The other machine has read the same state, and has written its decision; the alias is not moved yet.
        other = replace(decision, key=new_key(), who="other@there", version=VersionName(2, "d" * 64))
        record(self, other)
        record(self, decision)

    monkeypatch.setattr(Registry, "record", let_the_other_be_first)
    with pytest.raises(PipelineError, match="other@there has decided on version 2 meanwhile"):
        decide()
    assert champion(registry) == 1
    assert kinds(registry) == ["promoted", "promoted", "promoted", "conflict"]


def test_an_alias_that_is_overwritten_right_after_is_noticed(
    registry: Registry, decide: Decide, challenge: Challenge, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge(GOOD, "first")
    decide()
    challenge(BETTER, "second")
    set_alias = Registry.set_alias

    def overwritten(self: Registry, alias: str, number: int) -> None:
        set_alias(self, alias, number)
        set_alias(self, alias, 1)

    monkeypatch.setattr(Registry, "set_alias", overwritten)
    with pytest.raises(PipelineError, match="version 1 champion at the same moment"):
        decide()
    assert kinds(registry) == ["promoted", "promoted", "conflict"]


def test_a_decision_that_is_killed_before_it_is_carried_out_is_seen_and_can_be_repeated(
    workspace: Workspace,
    registry: Registry,
    decide: Decide,
    challenge: Challenge,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    challenge(GOOD, "first")
    decide()
    challenge(BETTER, "second")

    def die(self: Registry, alias: str, number: int) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "set_alias", die)
        with pytest.raises(Killed):
            decide()
    assert champion(registry) == 1
    capsys.readouterr()
    show_history(workspace, registry.store, registry.name, as_json=False)
    printed = words(capsys.readouterr().out)
    assert "warning: the alias champion points to version 1, and by the log it should be version 2" in printed

    assert decide() == 0
    assert champion(registry) == 2
    capsys.readouterr()
    show_history(workspace, registry.store, registry.name, as_json=True)
    assert json.loads(capsys.readouterr().out)["warnings"] == []
    rollback(workspace, registry.store, registry.name, "", lambda line: None)
    assert champion(registry) == 1


# --- history and rollback ---------------------------------------------------------------------------


def test_history_tells_everything_oldest_first(
    workspace: Workspace,
    registry: Registry,
    decide: Decide,
    challenge: Challenge,
    capsys: pytest.CaptureFixture[str],
) -> None:
    challenge(BETTER, "first")
    decide(reason="[brackets] stay")
    challenge(WORSE, "second")
    decide()
    capsys.readouterr()
    show_history(workspace, registry.store, registry.name, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    first, second = (next(line for line in lines if f" {kind}  " in line) for kind in ("promoted", "refused"))
    assert lines.index(first) < lines.index(second)
    assert "[brackets] stay" in first
    assert "better than the" in second
    assert all(len(line) <= 120 for line in lines)

    show_history(workspace, registry.store, registry.name, as_json=True)
    values = json.loads(capsys.readouterr().out)
    assert (values["model"], values["aliases"]) == (registry.name, {CHAMPION: 1, CHALLENGER: 2})
    assert [each["kind"] for each in values["decisions"]] == ["promoted", "refused"]
    assert [each["carried_out"] for each in values["decisions"]] == [True, True]
    assert values["warnings"] == []


def test_an_alias_moved_by_hand_is_told(
    workspace: Workspace,
    registry: Registry,
    decide: Decide,
    challenge: Challenge,
    capsys: pytest.CaptureFixture[str],
) -> None:
    challenge(GOOD, "first")
    decide()
    make_version(registry, GOOD, name="second")
    registry.set_alias(CHAMPION, 2)
    capsys.readouterr()
    show_history(workspace, registry.store, registry.name, as_json=True)
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert "points to version 2" in warning
    assert "should be version 1" in warning


def test_before_any_decision_history_says_so(
    workspace: Workspace, registry: Registry, challenge: Challenge, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PipelineError, match="No model called"):
        show_history(workspace, registry.store, registry.name, as_json=False)
    challenge(GOOD, "first")
    show_history(workspace, registry.store, registry.name, as_json=False)
    assert "No decision yet" in capsys.readouterr().out


def test_rollback_returns_step_by_step(
    workspace: Workspace, registry: Registry, decide: Decide, challenge: Challenge, said: list[str]
) -> None:
    def back(reason: str = "") -> None:
        rollback(workspace, registry.store, registry.name, reason, said.append)

    for number, predictions in enumerate((WORSE, GOOD, BETTER), start=1):
        challenge(predictions, str(number))
        decide(force=True, reason="to have three")
    back("it is slow at night")
    assert (champion(registry), said[-1]) == (2, "version 2 is champion again, instead of version 3")
    assert registry.version(3).tags[tags.DECISION] == "rolled back"
    back()
    assert champion(registry) == 1
    with pytest.raises(PipelineError, match="no earlier champion"):
        back()
    decisions = registry.read().decisions[3:]
    assert [each.kind for each in decisions] == ["rolled back", "rolled back"]
    assert decisions[0].reason == "it is slow at night"
    assert [each.version.version for each in decisions] == [2, 1]


def test_rollback_to_a_deleted_version_changes_nothing(
    workspace: Workspace, registry: Registry, decide: Decide, challenge: Challenge
) -> None:
    challenge(GOOD, "first")
    decide()
    challenge(BETTER, "second")
    decide()
    registry.store.client.delete_model_version(registry.name, "1")
    with pytest.raises(PipelineError, match=r"There is no version 1 of"):
        rollback(workspace, registry.store, registry.name, "", lambda line: None)
    assert champion(registry) == 2
    assert kinds(registry) == ["promoted", "promoted"]


# --- a champion that was evaluated on another test subset -------------------------------------------

SPEC = PreprocessingSpec(image_size=8, resize="pad", color="rgb", classes=CLASSES)


@pytest.fixture
def images(workspace: Workspace) -> Iterator[str]:
    """data/fetched and data/arrays/test with IMAGES images; returns the digest of the arrays."""
    generator = np.random.default_rng(0)
    workspace.fetched.mkdir(parents=True)
    folder = workspace.subset("test")
    folder.mkdir(parents=True)
    entries, arrays = [], []
    with workspace.encoded_images.open("wb") as file:
        writer = ImageTarWriter(file)
        for index in range(IMAGES):
            data = encode_png(generator.integers(0, 256, (10, 10, 3), dtype=np.uint8))
            _, offset = writer.append(data, "png")
            name = CLASSES[index % 2]
            entries.append(CatalogueEntry(index, f"{index}", name, "", "", 10, 10, offset, len(data)))
            arrays.append(SPEC.apply(data))
        writer.finish()
    Catalogue(entries).save(workspace.catalogue)
    SPEC.save(workspace.preprocessing)
    np.save(folder / "images.npy", np.stack(arrays))
    np.save(folder / "labels.npy", np.arange(IMAGES) % 2)
    np.save(folder / "ids.npy", np.arange(IMAGES))
    yield arrays_digest([folder])
    shutil.rmtree(workspace.root / "data")


@pytest.fixture
def champion_says(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Stands for the process that uses the champion's logged model; the list gets the models asked for."""

    def say(predictions: Predictions, classes: tuple[str, ...]) -> list[str]:
        asked = []

        def use_model(store: Any, model: str, say: Any, *, encoded: EncodedFiles, threads: int) -> Use:
            asked.append(model)
            with encoded.path.open("rb") as file:
                file.seek(encoded.offsets[-1])
                assert file.read(encoded.sizes[-1]).startswith(b"\x89PNG")
            assert len(encoded.sizes) == IMAGES
            columns = [CLASSES.index(name) if name in CLASSES else 0 for name in classes]
            empty = np.zeros((0, len(classes)), dtype=np.float32)
            return Use(classes, empty, predictions.probabilities[:, columns], np.zeros(0))

        monkeypatch.setattr(reevaluation, "use_model", use_model)
        return asked

    return say


def test_the_champion_is_evaluated_anew_on_the_challengers_test_subset(
    registry: Registry,
    decide: Decide,
    challenge: Challenge,
    images: str,
    champion_says: Callable[..., list[str]],
    said: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    challenge(answers(range(0, 60, 3)), "first", data_digest="a")
    decide()
    asked = champion_says(GOOD, ("dog", "cat"))  # the same classes in another order
    challenge(BETTER, "second", test_digest=images, data_digest="b")
    assert decide() == 0
    assert asked == [f"models:/{registry.name}/1"]
    assert any("evaluating it on the 400 images" in line for line in said)
    printed = words(capsys.readouterr().out)
    assert "It was trained on other data than the challenger and may have seen some" in printed
    gate = registry.read().decisions[-1].gates[0]
    assert (gate.figures["only_challenger_right"], gate.figures["only_other_right"]) == (16, 0)
    assert registry.read().decisions[-1].number == 1


def test_a_champion_of_other_classes_makes_the_gates_refuse_unless_forced(
    registry: Registry,
    decide: Decide,
    challenge: Challenge,
    images: str,
    champion_says: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    challenge(GOOD, "first", classes=("cat", "horse"))
    decide()
    champion_says(GOOD, ("cat", "horse"))
    challenge(BETTER, "second", test_digest=images)
    assert decide() == EXIT_REFUSED
    assert registry.read().decisions[-1].failed == [
        "better than the champion",
        "gain in accuracy",
        "recall of every class",
    ]
    assert "knows other classes" in words(capsys.readouterr().out)
    assert decide(force=True, reason="a new task") == 0
    assert champion(registry) == 2


def test_where_the_images_are_not_here_it_says_where_to_find_them(
    registry: Registry, decide: Decide, challenge: Challenge
) -> None:
    challenge(GOOD, "first")
    decide()
    challenge(BETTER, "second", test_digest="u" * 64)
    with pytest.raises(PipelineError) as refusal:
        decide()
    assert "no data/arrays/test" in str(refusal.value)
    assert f"python -m pipeline lineage models:/{registry.name}/2" in str(refusal.value)
    assert kinds(registry) == ["promoted"], "no decision was made"
    assert decide(force=True, reason="the old images are lost") == 0
    assert kinds(registry) == ["promoted", "forced"]


def test_images_that_are_not_those_of_the_arrays_are_noticed(
    workspace: Workspace,
    registry: Registry,
    decide: Decide,
    challenge: Challenge,
    images: str,
    champion_says: Callable[..., list[str]],
) -> None:
    challenge(GOOD, "first")
    decide()
    champion_says(GOOD, CLASSES)
    challenge(BETTER, "second", test_digest=images)
    entries = Catalogue.load(workspace.catalogue).entries
    Catalogue(entries[::-1]).save(workspace.catalogue)
    with pytest.raises(PipelineError, match="does not hold the images"):
        decide()


# --- processes --------------------------------------------------------------------------------------

PROMOTE = """
import sys
from pathlib import Path
from pipeline.commands.registry.promote import promote
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.store import Store
workspace = Workspace(Path.cwd(), Path.cwd())
try:
    with Store(workspace) as store:
        sys.exit(promote(workspace, store, sys.argv[1], True, sys.argv[2], print))
except PipelineError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
@pytest.mark.parametrize("locked", [True, False], ids=["one machine", "as on several machines"])
def test_several_processes_at_once_leave_one_champion_and_a_whole_log(
    project: Path, workspace: Workspace, registry: Registry, tmp_path: Path, locked: bool
) -> None:
    for name, predictions in (("first", WORSE), ("second", BETTER)):
        make_version(registry, predictions, name=name)
    registry.set_alias(CHALLENGER, 2)
    processes = []
    for number in range(4):
        # The lock lies in the temporary folder: with folders of their own they do not see each other.
        temporary = tmp_path / ("all" if locked else str(number))
        temporary.mkdir(exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(project), "TMPDIR": str(temporary)}
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PROMOTE), registry.name, str(number)]
        processes.append(
            subprocess.Popen(
                command,
                cwd=workspace.root,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    ended = [(*process.communicate(timeout=200), process.returncode) for process in processes]
    assert all("Traceback" not in errors for _, errors, _ in ended), ended
    codes = [code for _, _, code in ended]
    model = registry.read()
    carried_out = {each.key for each in model.decisions if each.kind != "conflict"} - {
        each.cancels for each in model.decisions
    }
    assert len(carried_out) == codes.count(0)
    assert codes.count(0) == 1 if locked else codes.count(0) <= 1
    assert model.aliases.get(CHAMPION) == (2 if carried_out else None)
    # Whoever has decided stands in the log, and nobody twice.
    reasons = [each.reason for each in model.decisions if each.kind != "conflict"]
    assert len(reasons) == len(set(reasons))
