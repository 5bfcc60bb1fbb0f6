"""The run that stands above all that one DVC experiment, or one reproduction of the workspace, has run.

The stage process says which parent its runs have, since only it knows the experiment; the delivery
makes it and keeps it in step with what happens below it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.foundation.digests import digest_json
from pipeline.tracking import tags
from pipeline.tracking.flat_params import as_text
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run

_SHARED_TAGS = (
    tags.ORIGIN,
    tags.DVC_EXPERIMENT,
    tags.DVC_BASELINE,
    tags.DVC_COMMIT,
    tags.GIT_COMMIT,
    tags.GIT_DIRTY,
    tags.GIT_CHANGES,
    tags.ENVIRONMENT_DIGEST,
    "mlflow.source.git.commit",
    "mlflow.source.type",
    "mlflow.user",
)
"""What a parent has in common with the first run below it."""

_RUNNING, _KILLED = "RUNNING", "KILLED"


@dataclass(frozen=True)
class ParentRun:
    """A parent run as a journal describes it.

    Attributes:
      name: the experiment's name; `workspace-<commit>` for a plain `dvc repro`.
      key: EXPERIMENT_KEY; the same key, the same parent.
      tags: what it is made with.
      params: all of params.yaml, as text.
    """

    name: str
    key: str
    tags: dict[str, str]
    params: dict[str, str]


def parent_run(child_tags: Mapping[str, str], params: Mapping[str, Any]) -> ParentRun:
    """The parent of a run with these tags; `params` are the values of the whole params.yaml."""
    experiment, commit = child_tags.get(tags.DVC_EXPERIMENT, ""), child_tags.get(tags.GIT_COMMIT, "")
    baseline = child_tags.get(tags.DVC_BASELINE) or commit
    key = experiment_key(child_tags[tags.ORIGIN], experiment, baseline, params)
    return ParentRun(
        name=experiment or "-".join(filter(None, ["workspace", commit[:7]])),
        key=key,
        tags={
            **{name: child_tags[name] for name in _SHARED_TAGS if name in child_tags},
            tags.KIND: tags.KIND_EXPERIMENT,
            tags.EXPERIMENT_KEY: key,
            tags.PARAMS_DIGEST: digest_json(params),
            "mlflow.source.name": "dvc exp run" if experiment else "dvc repro",
        },
        params=as_text(params),
    )


def experiment_key(origin: str, experiment: str, baseline: str, params: Mapping[str, Any]) -> str:
    """Names an experiment: the same folder, name, commit to start from and params are the same one."""
    return digest_json([origin, experiment, baseline, digest_json(params)])


class Parents:
    """The parent runs in a store. Whatever is done twice changes nothing the second time."""

    def __init__(self, store: Store, experiment: str) -> None:
        """`experiment` is MLflow's name for the project."""
        self._store = store
        self._experiment = experiment

    def ensure(self, parent: ParentRun, start_time: int) -> str:
        """Id of a parent, which is made where it is missing; `start_time` in milliseconds since 1970."""
        # Two stages of one experiment may be delivered by two processes at once.
        with self._store.lock:
            run = self._store.find_run(self._experiment, {tags.EXPERIMENT_KEY: parent.key})
            if run is None:
                experiment_id = self._store.experiment_id(self._experiment)
                run = self._store.client.create_run(experiment_id, start_time, parent.tags, parent.name)
        run_id: str = run.info.run_id
        self._store.log_params(run_id, parent.params)
        return run_id

    def settle(self, run_id: str) -> None:
        """Bring status and end of a parent in step with the runs below it."""
        children = self._store.children_of(self._experiment, run_id)
        running = [run for run in children if run.info.status == _RUNNING]
        if running:
            # By the latest child's journal `sync` sees whether anybody is still recording.
            self._store.set_tags(run_id, {tags.START_EVENT: running[0].data.tags[tags.START_EVENT]})
            self._store.client.update_run(run_id, status=_RUNNING)
        elif children:
            latest = max(children, key=lambda run: run.info.end_time or run.info.start_time)
            self._store.client.set_terminated(run_id, latest.info.status, latest.info.end_time)
        else:
            self._store.client.set_terminated(run_id, _KILLED)  # its only child goes on elsewhere

    def show_best(self, run_id: str, evaluation: "Run", time: int) -> None:
        """Give a parent the scores of the best candidate, under the names that they have on trainings.

        Args:
          run_id: the parent.
          evaluation: the run of the stage evaluate, with `<candidate>/<score>` as metrics.
          time: milliseconds since 1970.
        """
        from mlflow.entities import Metric

        best = evaluation.data.tags.get(tags.BEST_CANDIDATE)
        if best is None:
            return
        prefix = f"{best}/"
        scores = [
            Metric(name.removeprefix(prefix), value, time, 0)
            for name, value in evaluation.data.metrics.items()
            if name.startswith(prefix)
        ]
        self._store.client.log_batch(run_id, metrics=scores)
        digest = evaluation.data.tags.get(f"{tags.MODEL_DIGEST}.{best}", "")
        self._store.set_tags(run_id, {tags.BEST_CANDIDATE: best, tags.BEST_MODEL_DIGEST: digest})
