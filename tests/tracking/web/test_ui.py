"""The page that the MLflow UI opens with, and the view of the runs that it opens in."""

import json
import re

import pytest
from mlflow.exceptions import MlflowException

from pipeline.tracking.web.ui import serve_ui
from pipeline.tracking.web.views import TRAININGS, page_with_runs

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

TAG = f"mlflow.sharedViewState.{TRAININGS.key}"
LONGEST_TAG = 20_000  # what MLflow takes


@pytest.fixture
def experiment(store, request):
    """An experiment of the test's own, by its name."""
    return request.node.name


@pytest.fixture
def written(store, experiment):
    """The view as it is kept now."""

    def read():
        return json.loads(store.client.get_experiment(store.experiment_id(experiment)).tags[TAG])

    return read


def overwrite(store, experiment, value):
    store.client.set_experiment_tag(store.experiment_id(experiment), TAG, json.dumps(value))


def test_the_address_names_the_view_and_the_page_for_trainings(store, experiment, written):
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


def test_a_view_that_is_there_is_not_written_again(store, experiment, written):
    page_with_runs(store, "http://a", experiment)
    before = written()
    page_with_runs(store, "http://b", experiment)
    assert written() == before


def test_a_newer_view_of_ours_takes_the_place_of_an_older_one(store, experiment, written):
    page_with_runs(store, "http://a", experiment)
    overwrite(store, experiment, {**written(), "state": '{"selectedColumns": []}'})
    page_with_runs(store, "http://a", experiment)
    assert json.loads(written()["state"]) == TRAININGS.state


def test_a_view_that_people_have_changed_is_left_alone(store, experiment, written):
    """What MLflow writes itself is a name, two times and a state."""
    theirs = {"name": "Trainings", "createdAt": 1, "updatedAt": 2, "state": '{"selectedColumns": []}'}
    overwrite(store, experiment, theirs)
    assert page_with_runs(store, "http://a", experiment).endswith("&viewStateShareKey=trainings")
    assert written() == theirs


@pytest.mark.parametrize("value", ["no JSON", "[]"])
def test_a_view_that_cannot_be_read_is_replaced(store, experiment, written, value):
    store.client.set_experiment_tag(store.experiment_id(experiment), TAG, value)
    page_with_runs(store, "http://a", experiment)
    assert written()["name"] == "Trainings"


def test_where_we_may_not_write_the_page_opens_without_a_view(store, experiment, monkeypatch):
    def refuse(*arguments):
        raise MlflowException("Permission denied")

    monkeypatch.setattr(store.client, "set_experiment_tag", refuse)
    page = page_with_runs(store, "http://a", experiment)
    assert page.endswith("?workflowType=machine_learning")


def test_of_a_server_it_is_only_said_where_to_look(store, experiment, written):
    class Server:
        address = "https://me:secret@mlflow.example.com/"
        client = store.client
        experiment_id = store.experiment_id

    said: list[str] = []
    serve_ui(Server(), experiment, 5000, said.append)
    (page,) = said
    assert page.startswith("https://mlflow.example.com/#/experiments/")
    assert "secret" not in page
    assert written()["name"] == "Trainings"
