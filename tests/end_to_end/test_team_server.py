"""A team's server, MLflow on PostgreSQL: two clones that train, register and decide at the same time.

It is started with the command of docs/team/compose.yaml. Both clones come from the same commit and give
their experiments the same name; only the origin of a run tells whose it is.
"""

import io
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from pipeline.foundation.errors import EXIT_REFUSED
from pipeline.foundation.workspace import CANDIDATES
from pipeline.tracking import tags
from pipeline.tracking.provenance import origin
from tests.end_to_end.clones import Clone, copied
from tests.end_to_end.processes import Ended, kill_processes_below, run_at_once
from tests.end_to_end.servers import (
    HOST,
    TeamServer,
    free_port,
    postgresql_binaries,
    running_database,
    running_server,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = [pytest.mark.server, pytest.mark.timeout(1800)]

EXPERIMENT = "same-name"

EPOCHS = {"first": 6, "second": 3}
"""Of train_baseline, by clone. train_transfer knows nothing of it: both clones make the same model."""

# A test subset of 24 images says little about calibration, and a busy machine nothing about speed.
GATES = ("registry.max_ece=1.0", "registry.max_latency_ms=60000")

STAGE = """
from pathlib import Path
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.journal.journal_tracker import JournalTracker

home = Path.cwd()
with JournalTracker(Workspace(home, home), "train_baseline", "missed", {}) as tracker:
    run = tracker.run("baseline", "key")
    run.log_metrics({"loss": 1.0})
    run.log_text("some text", "notes.txt")
"""

PREDICT = """
import sys, mlflow, numpy
model = mlflow.pyfunc.load_model("models:/image-classifier@champion")
found = model.predict(numpy.load(sys.argv[1]))
numpy.savez(sys.argv[2], probabilities=found.to_numpy(), classes=list(found.columns))
"""


@dataclass(frozen=True)
class Team:
    """The server, and the clones of two people, on two machines as far as the clones can tell."""

    server: TeamServer
    first: Clone
    second: Clone

    @property
    def clones(self) -> dict[str, Clone]:
        return {"first": self.first, "second": self.second}


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[TeamServer]:
    """A server whose database nobody has used yet."""
    binaries = postgresql_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with running_database(binaries) as database, running_server(project, database) as running:
        yield running


@pytest.fixture(scope="module")
def team(server: TeamServer, pristine: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Two clones that have run one experiment each, at the same time, as the first users of the server."""
    clones = {}
    for name in EPOCHS:
        folder = tmp_path_factory.mktemp(name)
        (folder / "tmp").mkdir()
        # With temporary folders of their own they do not see each other's locks.
        environment = {"MLFLOW_TRACKING_URI": server.address, "TMPDIR": str(folder / "tmp")}
        clones[name] = with_environment(copied(pristine, folder), environment)
    try:
        run_experiments(clones)
        yield Team(server, **clones)
    finally:
        for clone in clones.values():
            kill_processes_below(clone.folder)


def run_experiments(clones: Mapping[str, Clone]) -> None:
    commands = []
    for name, epochs in EPOCHS.items():
        settings = [f"train_baseline.epochs={epochs}", *GATES]
        options = [part for setting in settings for part in ("--set-param", setting)]
        # All but the report.
        command = [sys.executable, "-m", "dvc", "exp", "run", "--name", EXPERIMENT, *options, "evaluate"]
        commands.append((clones[name], command))
    for process in run_at_once(commands):
        assert process.code == 0, process.output[-5000:]
        assert "MLflow does not have everything" not in process.output
    for clone in clones.values():
        pipeline(clone, "sync")


def test_two_clones_record_at_once_and_keep_apart(team: Team, client: "MlflowClient") -> None:
    runs = all_runs(client)
    assert {run.info.status for run in runs} == {"FINISHED"}
    for name, clone in team.clones.items():
        own = [run for run in runs if run.data.tags[tags.ORIGIN] == origin(clone.folder)]
        (parent,) = of_kind(own, tags.KIND_EXPERIMENT)
        assert parent.info.run_name == EXPERIMENT
        assert parent.data.params["train_baseline.epochs"] == str(EPOCHS[name])
        children = [run for run in own if run.data.tags.get(tags.NESTED_IN) == parent.info.run_id]
        trainings = {run.info.run_name: run for run in of_kind(children, tags.KIND_TRAINING)}
        assert set(trainings) == set(CANDIDATES)
        assert trainings["baseline"].data.params["train_baseline.epochs"] == str(EPOCHS[name])
        assert len(of_kind(children, tags.KIND_EVALUATION)) == 1
        trials = [run for run in own if run.data.tags.get(tags.NESTED_IN) == trainings["tuned"].info.run_id]
        assert len(of_kind(trials, tags.KIND_TRIAL)) == 2
        assert len(own) == 1 + len(children) + len(trials)
        scores = json.loads((clone.folder / "metrics" / "evaluate.json").read_text(encoding="utf-8"))
        for candidate, run in trainings.items():
            card = clone.card(candidate)
            assert run.data.tags[tags.MODEL_DIGEST] == card["model_digest"]
            assert run.data.metrics["test_accuracy"] == pytest.approx(scores[candidate]["test"]["accuracy"])
        assert not (clone.folder / "mlflow.db").exists()
    digests = [clone.card("transfer")["model_digest"] for clone in team.clones.values()]
    assert digests[0] == digests[1], "the clones were to make one model twice"
    assert len({run.data.tags[tags.ORIGIN] for run in runs}) == 2


def test_everybody_sees_the_runs_of_all(team: Team) -> None:
    shown = {name: json_of(clone, "runs", "--json")["runs"] for name, clone in team.clones.items()}
    assert shown["first"] == shown["second"]
    assert sorted(run["candidate"] for run in shown["first"]) == sorted([*CANDIDATES, *CANDIDATES])
    epochs = [
        run["params"]["train_baseline.epochs"] for run in shown["first"] if run["candidate"] == "baseline"
    ]
    assert sorted(epochs) == sorted(EPOCHS.values())


def test_artifacts_travel_through_the_server(team: Team, client: "MlflowClient", tmp_path: Path) -> None:
    pictures = []
    for clone in team.clones.values():
        own = [run for run in all_runs(client) if run.data.tags[tags.ORIGIN] == origin(clone.folder)]
        (training,) = [run for run in own if run.info.run_name == "baseline"]
        assert training.info.artifact_uri.startswith("mlflow-artifacts:/")
        target = tmp_path / training.info.run_id
        target.mkdir()
        path = "evaluation/confusion_matrix_baseline.png"
        pictures.append(Path(client.download_artifacts(training.info.run_id, path, str(target))).read_bytes())
    for picture in pictures:
        with Image.open(io.BytesIO(picture)) as image:
            image.load()
            assert image.format == "PNG"
    assert pictures[0] != pictures[1], "two models that differ this much make other mistakes"
    # They are in the server's store, not beside somebody's clone.
    stored = {path.read_bytes() for path in team.server.artifacts.rglob("confusion_matrix_baseline.png")}
    assert stored == set(pictures)


def test_a_team_registers_and_decides(team: Team, pristine: Clone, tmp_path: Path) -> None:
    first, second = team.first, team.second

    pipeline(first, "register", "transfer")
    pipeline(first, "promote", "--reason", "the first one")
    # The same model, made by somebody else, is not a second version.
    pipeline(second, "register", "transfer")
    assert json_of(second, "history", "--json")["aliases"] == {"champion": 1}

    pipeline(second, "register", "baseline")
    refused = result_of(second, "promote")
    assert refused.code == EXIT_REFUSED, refused.output
    history = json_of(first, "history", "--json")
    assert [decision["kind"] for decision in history["decisions"]] == ["promoted", "refused"]
    assert [decision["version"]["version"] for decision in history["decisions"]] == [1, 2]
    assert history["decisions"][0]["reason"] == "the first one"
    assert history["decisions"][1]["champion"]["version"] == 1
    assert history["aliases"]["champion"] == 1

    require_champion_works_elsewhere(first, pristine, team.server, tmp_path)

    command = [sys.executable, "-m", "pipeline", "promote", "--force", "--reason", "both at once"]
    outcomes = run_at_once([(first, command), (second, command)])
    history = json_of(first, "history", "--json")
    assert json_of(second, "history", "--json") == history
    require_whole_log(history, outcomes)

    if history["aliases"]["champion"] == 2:
        pipeline(second, "rollback", "--reason", "it was a test")
    history = json_of(first, "history", "--json")
    assert history["aliases"]["champion"] == 1
    assert history["warnings"] == []


def require_champion_works_elsewhere(clone: Clone, pristine: Clone, server: TeamServer, folder: Path) -> None:
    """From a folder with nothing in it, and an environment that only names the server."""
    images = clone.folder / "data" / "arrays" / "test" / "images.npy"
    (folder / "elsewhere").mkdir()
    nobody = Clone(folder / "elsewhere", {**pristine.environment, "MLFLOW_TRACKING_URI": server.address})
    nobody.run(sys.executable, "-c", PREDICT, str(images), str(folder / "found.npz"))
    with np.load(folder / "found.npz") as found:
        probabilities, classes = found["probabilities"], list(found["classes"])
    with np.load(clone.folder / "metrics" / "predictions" / "transfer.npz") as expected:
        np.testing.assert_allclose(probabilities, expected["test_probabilities"], atol=1e-5)
    assert classes == clone.card("transfer")["preprocessing"]["classes"]


def require_whole_log(history: dict[str, Any], outcomes: Sequence[Ended]) -> None:
    """Of two that decide at once at most one moves the alias, both know, and the log says what happened."""
    before, decisions = history["decisions"][:2], history["decisions"][2:]
    assert [decision["kind"] for decision in before] == ["promoted", "refused"]
    said = [each.output for each in outcomes]
    moved = [output for output in said if "version 2 is champion, although refused" in output]
    gave_way = ("was not made champion", "There is no challenger", "nothing to decide")
    assert all(output in moved or any(words in output for words in gave_way) for output in said), said
    assert all("Traceback" not in output for output in said), said

    forced = {decision["key"] for decision in decisions if decision["kind"] == "forced"}
    conflicts = {decision["cancels"] for decision in decisions if decision["kind"] == "conflict"}
    carried_out = {decision["key"] for decision in decisions if decision["carried_out"]} & forced
    assert len(decisions) == len(forced) + len(conflicts)
    assert carried_out == forced - conflicts
    assert conflicts <= forced
    assert len(carried_out) == len(moved) <= 1
    assert history["aliases"]["champion"] == (2 if moved else 1)
    assert history["warnings"] == []


def test_what_a_server_has_missed_is_delivered_without_noise(
    server: TeamServer, client: "MlflowClient", pristine: Clone, tmp_path: Path
) -> None:
    """MLflow by itself announces every run that ends on a server, with two lines on standard output."""
    clone = copied(pristine, tmp_path)
    offline = with_environment(clone, {"MLFLOW_TRACKING_URI": f"http://{HOST}:{free_port()}"})
    assert "1 run waits" in offline.run(sys.executable, "-c", STAGE)

    output = pipeline(with_environment(clone, {"MLFLOW_TRACKING_URI": server.address}), "sync")
    delivering, done = output.splitlines()
    assert delivering.startswith("delivering 1 run to MLflow: ")
    assert done == "MLflow has received 1 run."
    experiment = client.get_experiment_by_name("missed")
    assert experiment is not None
    (run,) = of_kind(client.search_runs([experiment.experiment_id]), tags.KIND_TRAINING)
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["notes.txt", "system.json"]


def test_who_asks_for_another_host_is_turned_away(server: TeamServer) -> None:
    request = urllib.request.Request(f"{server.address}/", headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError, match="403") as refusal:
        urllib.request.urlopen(request, timeout=30)
    assert b"Invalid Host header" in refusal.value.read()
    refusal.value.close()


# --- helpers ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(server: TeamServer) -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(server.address)


def all_runs(client: "MlflowClient") -> "list[Run]":
    """All that the two clones have recorded."""
    experiment = client.get_experiment_by_name("image-classification")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def of_kind(runs: "Sequence[Run]", kind: str) -> "list[Run]":
    return [run for run in runs if run.data.tags.get(tags.KIND) == kind]


def with_environment(clone: Clone, values: dict[str, str]) -> Clone:
    return replace(clone, environment={**clone.environment, **values})


def result_of(clone: Clone, *arguments: str) -> Ended:
    (only,) = run_at_once([(clone, [sys.executable, "-m", "pipeline", *arguments])])
    return only


def pipeline(clone: Clone, *arguments: str) -> str:
    return clone.run(sys.executable, "-m", "pipeline", *arguments)


def json_of(clone: Clone, *arguments: str) -> dict[str, Any]:
    """Standard output of a command, which is to be JSON and nothing else."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    result = subprocess.run(
        command, cwd=clone.folder, env=clone.environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    values: dict[str, Any] = json.loads(result.stdout)
    return values
