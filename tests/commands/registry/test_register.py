"""`register`: what becomes a version, with what, and what does not. The model's own process is a stand-in."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.commands.addresses.address import parse_address
from pipeline.commands.registry import register as registration
from pipeline.commands.registry.register import register
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json
from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import arrays_digest
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.processes.child_process import Say
from pipeline.repository import stage_outputs
from pipeline.repository.repository import Repository
from pipeline.scoring.predictions import load_predictions
from pipeline.tracking import tags
from pipeline.tracking.registry.model_use import EncodedFiles, Use
from pipeline.tracking.registry.registry import CHALLENGER, CHAMPION, Registry
from pipeline.tracking.store import Store
from tests.commands.made_workspace import make_workspace, outputs_of
from tests.tracking.made_versions import make_trained

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

CLASSES = ("cat", "dog", "a, bird")
Enrol = Callable[..., list[str]]
RUN_TAGS = {tags.GIT_COMMIT: "c" * 40, tags.DVC_EXPERIMENT: "quiet-lark", tags.NESTED_IN: "f" * 32}


@pytest.fixture(scope="module")
def store(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store and one workspace for all tests of the module; the model has one run."""
    workspace = make_workspace(tmp_path_factory.mktemp("project"), project, CLASSES, errors={0: 1})
    digest = read_json(workspace.card("baseline"))["model_digest"]
    with Store(workspace) as opened:
        make_trained(Registry(opened, "model"), digest, RUN_TAGS)
        yield opened


@pytest.fixture
def workspace(store: Store) -> Workspace:
    return store.workspace


@pytest.fixture
def registry(store: Store, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registered model of its own for each test."""
    monkeypatch.setattr(registration, "_require_up_to_date", lambda workspace, say: None)
    monkeypatch.setattr(stage_outputs, "outputs_in_working_tree", lambda workspace, _: outputs_of(workspace))
    return Registry(store, request.node.name.partition("[")[0])


class LoggedModel:
    """Stands for the process that uses the logged model: it says what was evaluated, after `distort`."""

    def __init__(self, workspace: Workspace) -> None:
        self.asked: list[str] = []
        self.distort: Callable[[Use], Use] = lambda use: use
        self.spec = PreprocessingSpec(8, "pad", "rgb", CLASSES)
        test = np.load(workspace.subset("test") / "images.npy")
        predictions = load_predictions(workspace.predictions / "baseline.npz")["test"]
        self.known = {
            image.tobytes(): row for image, row in zip(test, predictions.probabilities, strict=True)
        }

    def use(
        self,
        store: Store,
        model: str,
        say: Say,
        *,
        pixels: np.ndarray,
        encoded: EncodedFiles,
        repetitions: int,
        threads: int,
    ) -> Use:
        self.asked.append(model)
        data = encoded.path.read_bytes()
        ranges = zip(encoded.offsets, encoded.sizes, strict=True)
        files = [self.spec.apply(data[offset : offset + size]) for offset, size in ranges]
        by_pixels, by_files = (
            np.stack([self.known[image.tobytes()] for image in images]) for images in (pixels, files)
        )
        return self.distort(Use(CLASSES, by_pixels, by_files, np.linspace(1, 9, repetitions)))


@pytest.fixture
def logged_model(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> LoggedModel:
    made = LoggedModel(workspace)
    monkeypatch.setattr(registration, "use_model", made.use)
    return made


@pytest.fixture
def enrol(workspace: Workspace, registry: Registry, logged_model: LoggedModel) -> Enrol:
    """`register` for this test's model; returns what it says."""

    def call(model: str = "best") -> list[str]:
        said: list[str] = []
        register(workspace, registry.store, parse_address(model), registry.name, said.append)
        return said

    return call


def test_a_version_tells_all_about_itself(
    workspace: Workspace, registry: Registry, enrol: Enrol, logged_model: LoggedModel
) -> None:
    enrol()
    version = registry.version(1)
    card = read_json(workspace.card("baseline"))
    scores = read_json(workspace.scores)["baseline"]
    found = version.tags
    assert logged_model.asked == [registry.store.client.get_model_version(registry.name, "1").source]
    assert version.model_digest == card["model_digest"]
    assert {name: found[name] for name in (tags.GIT_COMMIT, tags.DVC_EXPERIMENT)} == {
        tags.GIT_COMMIT: "c" * 40,
        tags.DVC_EXPERIMENT: "quiet-lark",
    }
    assert found[tags.PARENT_RUN] == "f" * 32
    assert found[tags.CANDIDATE] == "baseline"
    assert json.loads(found[tags.CLASSES]) == list(CLASSES)
    assert (found[tags.INPUT_SIZE], found[tags.COLOR]) == ("8", "rgb")
    assert int(found[tags.SIZE_BYTES]) == workspace.network("baseline").stat().st_size
    assert (found[tags.LATENCY_MS], found[tags.LATENCY_P99_MS]) == ("5", "8.92")
    assert found[tags.TEST_DIGEST] == arrays_digest([workspace.subset("test")])
    for subset in ("validation", "test"):
        for name in ("accuracy", "accuracy_low", "accuracy_high", "f1_macro", "log_loss", "ece"):
            assert float(found[f"{subset}_{name}"]) == scores[subset][name]
    assert registry.read().aliases == {CHALLENGER: 1}


def test_its_description_is_the_card_and_the_run_keeps_what_decisions_need(
    workspace: Workspace, registry: Registry, enrol: Enrol, tmp_path: Path
) -> None:
    enrol()
    version = registry.version(1)
    description = registry.store.client.get_model_version(registry.name, "1").description
    assert description is not None
    assert description.startswith(f"# {registry.name}, version 1: fast_cnn (baseline)")
    folder = registry.store.client.download_artifacts(
        version.run_id, version.tags[tags.REGISTRATION], str(tmp_path)
    )
    files = {path.name for path in Path(folder).iterdir()}
    assert files == {"predictions.npz", "references.npz", "card.json", "evaluation.json", "model_card.md"}
    assert (Path(folder) / "model_card.md").read_text(encoding="utf-8") == description
    evaluation = read_json(Path(folder) / "evaluation.json")
    assert evaluation["scores"] == read_json(workspace.scores)["baseline"]
    expected = load_predictions(workspace.predictions / "baseline.npz")
    evidence = registry.evidence(version)
    for subset, predictions in expected.items():
        np.testing.assert_array_equal(evidence.predictions[subset].probabilities, predictions.probabilities)


def test_the_same_model_gets_no_second_version(
    registry: Registry, enrol: Enrol, logged_model: LoggedModel
) -> None:
    enrol()
    registry.remove_alias(CHALLENGER)
    said = enrol("baseline")
    assert "this model and its scores are registered already" in said
    assert said[-1].startswith("version 1 is challenger")
    assert registry.read().aliases == {CHALLENGER: 1}
    assert len(registry.store.client.search_model_versions(f"name = '{registry.name}'")) == 1
    assert len(logged_model.asked) == 1, "the model was not loaded again"


def test_a_model_of_an_experiment_is_registered_from_what_dvc_keeps(
    workspace: Workspace, registry: Registry, enrol: Enrol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Repository, "git_commit", lambda self, revision: "e" * 40)
    outputs = outputs_of(workspace, experiment="quiet-lark")
    monkeypatch.setattr(stage_outputs, "outputs_of_commit", lambda *arguments: outputs)
    monkeypatch.setattr(registration, "_require_up_to_date", forbidden)
    said = enrol("quiet-lark")
    assert f"commit eeeeeee is version 1 of '{registry.name}'" in said
    assert registry.version(1).tags[tags.TEST_DIGEST] == arrays_digest([workspace.subset("test")])
    without = replace(outputs, find=lambda path: None if path.name == "test" else outputs.find(path))
    monkeypatch.setattr(stage_outputs, "outputs_of_commit", lambda *arguments: without)
    with pytest.raises(
        PipelineError, match="No evaluation of the model baseline of commit eeeeeee"
    ) as caught:
        enrol("quiet-lark")
    assert "data/arrays/test" in str(caught.value.found)


def forbidden(workspace: Workspace) -> None:
    raise AssertionError("the working tree has nothing to do with it")


def test_the_champion_does_not_become_challenger(registry: Registry, enrol: Enrol) -> None:
    enrol()
    registry.remove_alias(CHALLENGER)
    registry.set_alias(CHAMPION, 1)
    assert enrol()[-1] == "version 1 is the champion already; it does not become challenger"
    assert registry.read().aliases == {CHAMPION: 1}


def test_the_challenger_that_is_replaced_is_named(registry: Registry, enrol: Enrol) -> None:
    enrol()
    other = make_trained(registry, "0" * 64)
    registry.create_version(other, {})
    registry.set_alias(CHALLENGER, 2)
    assert "version 1 is challenger instead of version 2" in enrol()[-1]


def test_a_registration_that_was_killed_is_completed(
    registry: Registry, enrol: Enrol, logged_model: LoggedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "keep", die)
        with pytest.raises(Killed):
            enrol()
    assert registry.read().aliases == {}
    with pytest.raises(PipelineError, match="interrupted"):
        registry.evidence(registry.version(1))
    enrol()
    assert registry.read().aliases == {CHALLENGER: 1}
    assert registry.evidence(registry.version(1)).references
    assert len(logged_model.asked) == 2


def test_new_scores_of_a_registered_model_replace_the_old_ones(
    workspace: Workspace, registry: Registry, enrol: Enrol
) -> None:
    enrol()
    before = registry.version(1)
    text = workspace.scores.read_text()
    scores = json.loads(text)
    scores["baseline"]["test"]["ece"] = 0.5
    workspace.scores.write_text(json.dumps(scores))
    try:
        enrol()
    finally:
        workspace.scores.write_text(text)
    after = registry.version(1)
    assert after.tags["test_ece"] == "0.5"
    assert after.tags[tags.REGISTRATION] != before.tags[tags.REGISTRATION]
    kept = registry.store.client.list_artifacts(after.run_id, "registration")
    assert {item.path for item in kept} >= {each.tags[tags.REGISTRATION] for each in (before, after)}


def refused(enrol: Enrol, registry: Registry, message: str) -> None:
    """`register` fails with this message and leaves nothing behind."""
    with pytest.raises(PipelineError, match=message):
        enrol()
    with pytest.raises(PipelineError, match="No model called"):
        registry.read()


def test_a_logged_model_that_predicts_something_else_is_not_registered(
    registry: Registry, enrol: Enrol, logged_model: LoggedModel
) -> None:
    def wrong(use: Use) -> Use:
        encoded = use.encoded.copy()
        encoded[-1, 0] += 2e-5
        return replace(use, encoded=encoded)

    logged_model.distort = wrong
    refused(enrol, registry, r"does not predict what evaluate has saved.*\n.*1e-05.*\n.*2e-05")


def test_a_logged_model_that_predicts_no_numbers_is_not_registered(
    registry: Registry, enrol: Enrol, logged_model: LoggedModel
) -> None:
    def wrong(use: Use) -> Use:
        return replace(use, pixels=np.full_like(use.pixels, np.nan))

    logged_model.distort = wrong
    refused(enrol, registry, "does not predict what evaluate has saved")


def test_a_logged_model_of_other_classes_is_not_registered(
    registry: Registry, enrol: Enrol, logged_model: LoggedModel
) -> None:
    def wrong(use: Use) -> Use:
        return replace(use, classes=("dog", "cat", "a, bird"))

    logged_model.distort = wrong
    refused(enrol, registry, "has other classes")


def test_a_model_that_mlflow_lacks_is_not_registered(
    registry: Registry, enrol: Enrol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "find_trained", lambda *arguments: None)
    refused(
        enrol,
        registry,
        r"MLflow does not have the model baseline in the working tree.\n.*\n.*dvc repro -f train_base",
    )


def test_a_name_that_mlflow_would_not_take_is_refused_at_once(
    workspace: Workspace, logged_model: LoggedModel
) -> None:
    with pytest.raises(PipelineError, match=r"registry\.model"):
        register(workspace, Store(workspace), parse_address("best"), "a/b", print)
    assert logged_model.asked == []


def dvc_says(monkeypatch: pytest.MonkeyPatch, code: int, output: str, errors: str = "") -> None:
    done = subprocess.CompletedProcess([], code, output, errors)
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: done)


def test_what_is_stale_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    # As dvc 3.67 prints it.
    status = {
        "train_baseline": [
            {"changed deps": {"params.yaml": {"lr": "modified"}, "data/arrays/train": "modified"}},
            {"changed outs": {"models/baseline": "modified"}},
        ],
        "evaluate": ["changed command"],
    }
    dvc_says(monkeypatch, 0, json.dumps(status))
    with pytest.raises(PipelineError) as stale:
        registration._require_up_to_date(workspace, print)
    assert stale.value.found == (
        "train_baseline: changed deps params.yaml, data/arrays/train, changed outs models/baseline; "
        "evaluate: changed command"
    )
    assert "dvc repro" in str(stale.value.remedy)


def test_where_dvc_cannot_tell_nothing_is_registered(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    dvc_says(monkeypatch, 255, "", "ERROR: Unable to acquire lock")
    with pytest.raises(PipelineError, match="Unable to acquire lock"):
        registration._require_up_to_date(workspace, print)


def test_where_all_is_up_to_date_nothing_is_said(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    dvc_says(monkeypatch, 0, "{}")
    registration._require_up_to_date(workspace, print)
