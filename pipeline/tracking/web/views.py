"""What MLflow's web interface shows of the runs before anybody has clicked: columns, grouping, charts.

MLflow keeps a view that people have saved or shared in a tag of the experiment, and opens it where the
address names it. A view of ours is kept the same way and stands in the menu "Views" beside theirs.
"""

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.tracking import tags
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Experiment

_TAG = "mlflow.sharedViewState."
_ADDRESS_PARAM = "viewStateShareKey"
_AUTHOR = ("author", "python -m pipeline ui")
"""Not in what MLflow itself writes: a view without it is not ours, and we leave it alone."""


@dataclass(frozen=True)
class SharedView:
    """A named state of the page with the runs.

    Attributes:
      key: names it in addresses.
      name: names it in the menu.
      state: what MLflow's page restores.
    """

    key: str
    name: str
    state: dict[str, Any]


def page_with_runs(store: Store, server: str, experiment: str) -> str:
    """The address of the page with the runs, in our view of them, which is written where it is missing.

    Args:
      store: where the experiment is.
      server: address of the server whose page is meant.
      experiment: MLflow's name for the project.

    Raises:
      StoreUnavailableError: MLflow could not be reached.
    """
    identifier = store.experiment_id(experiment)
    # Without workflowType MLflow opens its page for language models.
    page = f"{server}/#/experiments/{identifier}/runs?workflowType=machine_learning"
    written = _write(store, identifier, TRAININGS_VIEW)
    return f"{page}&{_ADDRESS_PARAM}={TRAININGS_VIEW.key}" if written else page


def _write(store: Store, experiment_id: str, view: SharedView) -> bool:
    """Write a view unless it is there or people have made it theirs; False where we may not write."""
    from mlflow.exceptions import MlflowException

    try:
        present = _present(store.client.get_experiment(experiment_id), view)
        state = json.dumps(view.state)
        if present is None or (_AUTHOR in present.items() and present.get("state") != state):
            now = time.time_ns() // 1_000_000
            value = {"name": view.name, "createdAt": now, "updatedAt": now, "state": state, **dict([_AUTHOR])}
            store.client.set_experiment_tag(experiment_id, f"{_TAG}{view.key}", json.dumps(value))
    except MlflowException:
        return False  # a server with access control may let people read only
    return True


def _present(experiment: "Experiment", view: SharedView) -> dict[str, Any] | None:
    """The view as the experiment has it; None where it has none, or one that MLflow could not read either."""
    try:
        value = json.loads(experiment.tags[f"{_TAG}{view.key}"])
    except (KeyError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _attribute(name: str) -> str:
    return f"attributes.`{name}`"


def _tag(name: str) -> str:
    return f"tags.`{name}`"


def _param(name: str) -> str:
    return f"params.`{name}`"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


_COLUMNS = {
    _attribute("Created"): 120,
    _tag(tags.NETWORK): 90,
    _param("lr"): 60,
    _param("seed"): 55,
    _metric("validation_accuracy"): 125,
    _metric("test_accuracy"): 115,
    _metric("images_per_second"): 135,
    _attribute("Duration"): 75,
    _attribute("Version"): 70,
}
"""Columns beside the name of the run, in their order, with widths in pixels."""

_CURVES = ("val_accuracy", "val_loss", "learning_rate", "accuracy", "loss", "images_per_second")
_BARS = ("test_accuracy", "validation_accuracy", "test_ece")


def _section(key: str, name: str) -> dict[str, Any]:
    return {
        "uuid": key,
        "name": name,
        "display": True,
        "isReordered": False,
        "deleted": False,
        "isGenerated": False,
    }


def _chart(section: str, kind: str, metric: str) -> dict[str, Any]:
    return {
        "uuid": f"{section}-{metric}",
        "type": kind,
        "metricSectionId": section,
        "metricKey": metric,
        "displayName": metric,
        "runsCountToCompare": 10,
        "deleted": False,
        "isGenerated": False,
    }


def _curve(metric: str) -> dict[str, Any]:
    """A metric over the epochs."""
    return {
        **_chart("curves", "LINE", metric),
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "xAxisScaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "scaleType": "linear",
        "range": {},
        "lineSmoothness": 0,
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


TRAININGS_VIEW = SharedView(
    key="trainings",
    name="Trainings",
    state={
        "searchFilter": f"tags.{tags.KIND} = '{tags.KIND_TRAINING}'",
        "orderByKey": _metric("test_accuracy"),
        "orderByAsc": False,
        "selectedColumns": list(_COLUMNS),
        "columnOrder": list(_COLUMNS),
        "columnWidths": _COLUMNS,
        "groupBy": {
            "aggregateFunction": "max",
            "groupByKeys": [{"mode": "tag", "groupByData": tags.EXPERIMENT}],
        },
        "useGroupedValuesInCharts": False,
        "compareRunCharts": [*map(_curve, _CURVES), *(_chart("scores", "BAR", metric) for metric in _BARS)],
        "compareRunSections": [_section("curves", "Curves"), _section("scores", "Scores")],
        "isAccordionReordered": True,
    },
)
"""One row per training, best test accuracy first, in groups by experiment; curves and scores as charts."""
