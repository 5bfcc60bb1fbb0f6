"""The page that the MLflow UI opens with, and the view of the runs that it opens in."""

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from mlflow.exceptions import MlflowException

from pipeline.tracking.store import Store
from pipeline.tracking.web.ui import serve_ui
from pipeline.tracking.web.views import TRAININGS_VIEW, page_with_runs

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

TAG = f"mlflow.sharedViewState.{TRAININGS_VIEW.key}"
LONGEST_TAG = 20_000  # what MLflow takes

ReadView = Callable[[], dict[str, Any]]


@pytest.fixture
def experiment(store: Store, request: pytest.FixtureRequest) -> str:
    """An experiment of the test's own, by its name."""
    return str(request.node.name)


@pytest.fixture
def written(store: Store, experiment: str) -> ReadView:
    """The view as it is kept now."""

    def read() -> dict[str, Any]:
        view: dict[str, Any] = json.loads(
            store.client.get_experiment(store.experiment_id(experiment)).tags[TAG]
        )
        return view

    return read


def overwrite(store: Store, experiment: str, value: dict[str, Any]) -> None:
    store.client.set_experiment_tag(store.experiment_id(experiment), TAG, json.dumps(value))


def test_the_address_names_the_view_and_the_page_for_trainings(
    store: Store, experiment: str, written: ReadView
) -> None:
    page = page_with_runs(store, "http://127.0.0.1:5000", experiment)
    assert page == (
        f"http://127.0.0.1:5000/#/experiments/{store.experiment_id(experiment)}/runs"
        "?workflowType=machine_learning&viewStateShareKey=trainings"
    )
    view = written()
    assert view["name"] == "Trainings"
    assert len(json.dumps(view)) < LONGEST_TAG
    state = json.loads(view["state"])
    columns = [re.sub(r".*\.`(.*)`", r"\1", column) for column in state["selectedColumns"]]
    for column in ("network", "lr", "validation_accuracy", "test_accuracy", "Duration", "images_per_second"):
        assert column in columns
    charts, sections = state["compareRunCharts"], state["compareRunSections"]
    assert {chart["metricSectionId"] for chart in charts} == {section["uuid"] for section in sections}
    assert len({chart["uuid"] for chart in charts}) == len(charts)


def test_a_view_that_is_there_is_not_written_again(store: Store, experiment: str, written: ReadView) -> None:
    page_with_runs(store, "http://a", experiment)
    before = written()
    page_with_runs(store, "http://b", experiment)
    assert written() == before


def test_a_newer_view_of_ours_takes_the_place_of_an_older_one(
    store: Store, experiment: str, written: ReadView
) -> None:
    page_with_runs(store, "http://a", experiment)
    overwrite(store, experiment, {**written(), "state": '{"selectedColumns": []}'})
    page_with_runs(store, "http://a", experiment)
    assert json.loads(written()["state"]) == TRAININGS_VIEW.state


def test_a_view_that_people_have_changed_is_left_alone(
    store: Store, experiment: str, written: ReadView
) -> None:
    """What MLflow writes itself is a name, two times and a state."""
    theirs = {"name": "Trainings", "createdAt": 1, "updatedAt": 2, "state": '{"selectedColumns": []}'}
    overwrite(store, experiment, theirs)
    assert page_with_runs(store, "http://a", experiment).endswith("&viewStateShareKey=trainings")
    assert written() == theirs


@pytest.mark.parametrize("value", ["no JSON", "[]"])
def test_a_view_that_cannot_be_read_is_replaced(
    store: Store, experiment: str, written: ReadView, value: str
) -> None:
    store.client.set_experiment_tag(store.experiment_id(experiment), TAG, value)
    page_with_runs(store, "http://a", experiment)
    assert written()["name"] == "Trainings"


def test_where_we_may_not_write_the_page_opens_without_a_view(
    store: Store, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> NoReturn:
        raise MlflowException("Permission denied")

    monkeypatch.setattr(store.client, "set_experiment_tag", refuse)
    page = page_with_runs(store, "http://a", experiment)
    assert page.endswith("?workflowType=machine_learning")


def test_of_a_server_it_is_only_said_where_to_look(
    store: Store, experiment: str, written: ReadView, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.experiment_id(experiment)  # opened at its own address, before it seems to be a server
    monkeypatch.setattr(store, "address", "https://me:secret@mlflow.example.com/")
    said: list[str] = []
    serve_ui(store, experiment, 5000, said.append)
    (page,) = said
    assert page.startswith("https://mlflow.example.com/#/experiments/")
    assert "secret" not in page
    assert written()["name"] == "Trainings"
