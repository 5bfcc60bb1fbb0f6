"""From a model to all that led to it."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import PARAMS_FILE
from pipeline.repository.repository import Experiment
from pipeline.repository.stage_outputs import SEARCH
from pipeline.tracking import tags
from pipeline.tracking.lineage.index import Index, first_maker, json_object, summary
from pipeline.tracking.lineage.recovery import ChangedParam, Recipe, changed_params, find_recovery
from pipeline.tracking.lineage.values import ModelLineage
from pipeline.tracking.registry.registry import Version

if TYPE_CHECKING:
    from mlflow.entities import Run

_SCORED = re.compile(r"(validation|test)_\w+")


def lineage_of_digest(index: Index, digest: str, what: str) -> ModelLineage:
    """What led to the model with a digest. Raises PipelineError where no run made `what`."""
    runs = index.with_tags({tags.MODEL_DIGEST: digest})
    if not runs:
        raise PipelineError(
            f"No run in MLflow has made {what}.",
            expected=f"a run of the experiment '{index.experiment}' with the model digest {digest}",
            remedy="'python -m pipeline sync' delivers what waits; a model that was trained elsewhere is "
            "known to the MLflow store of that place (MLFLOW_TRACKING_URI)",
        )
    return lineage_of_model(index, digest, first_maker(runs))


def lineage_of_candidate(index: Index, commit: str, candidate: str) -> ModelLineage:
    """What led to a candidate in a commit's dvc.lock. Raises PipelineError where no run has made it."""
    path = index.model_path(candidate)
    runs = index.makers_of(commit, path, index.models_of(commit).get(path, ""))
    if not runs:
        raise PipelineError(
            f"No run in MLflow has made {path} of commit {index.repository.title(commit)}.",
            remedy="'python -m pipeline sync' delivers what waits",
        )
    run = first_maker(runs)
    return lineage_of_model(index, run.data.tags.get(tags.MODEL_DIGEST, ""), run)


def lineage_of_model(index: Index, digest: str, run: "Run") -> ModelLineage:
    """What led to the model with a digest, as the run that made it tells."""
    return _lineage(index, digest, run, run.data.tags, run.data.metrics)


def lineage_of_version(index: Index, version: Version) -> ModelLineage:
    """What led to a registered model; where its run was deleted, as the version's own tags tell."""
    run = index.run(version.run_id)
    if run is None:
        return _lineage(index, version.model_digest, None, version.tags, {})
    return lineage_of_model(index, version.model_digest or run.data.tags.get(tags.MODEL_DIGEST, ""), run)


def _lineage(
    index: Index, digest: str, run: "Run | None", facts: Mapping[str, str], metrics: Mapping[str, float]
) -> ModelLineage:
    parent = index.run(facts.get(tags.NESTED_IN, facts.get(tags.PARENT_RUN, "")))
    candidate, commit = facts.get(tags.CANDIDATE, ""), facts.get(tags.GIT_COMMIT, "")
    baseline = facts.get(tags.DVC_BASELINE) or commit
    params, complete = _params(run, parent)
    changed = _changed_params(index, params, complete, baseline)
    experiment = _experiment_of(index, facts)
    same = [] if run is None else index.with_tags({tags.MODEL_DIGEST: digest})
    recipe = Recipe(
        stage=facts.get(tags.STAGE, ""),
        output=index.model_path(candidate),
        dvc_hash=(
            facts.get(tags.DVC_HASH)
            or _hash_of_same_model(same, candidate)
            or _untagged_hash(index, experiment, digest, candidate)
        ),
        experiment=experiment.name if experiment else "",
        baseline=baseline,
        commit=commit,
        changes=_changes(facts),
        changed_params=changed if complete else None,
    )
    return ModelLineage(
        model_digest=digest,
        candidate=candidate,
        network=facts.get(tags.NETWORK, ""),
        stage=recipe.stage,
        run=summary(run) if run else None,
        same_model=tuple(summary(each) for each in same if run and each.info.run_id != run.info.run_id),
        parent_run=summary(parent) if parent else None,
        params=params,
        changed_params=None if changed is None else tuple(changed),
        params_commit=baseline,
        git_commit=commit,
        git_title=index.repository.title(commit) if commit else "",
        git_changes=None if recipe.changes is None else tuple(recipe.changes),
        experiment=experiment,
        dvc_hash=recipe.dvc_hash or "",
        data_digest=facts.get(tags.DATA_DIGEST, ""),
        inputs=json_object(facts.get(tags.INPUTS)),
        data_source=json_object(facts.get(tags.DATA_SOURCE)),
        environment_digest=facts.get(tags.ENVIRONMENT_DIGEST, ""),
        versions=_present(facts, tags.PYTHON, tags.TENSORFLOW, tags.KERAS, tags.NUMPY),
        machine=_present(facts, tags.PROCESSOR, tags.THREADS, tags.NUMERIC_SETTINGS, tags.CPU_FLAGS),
        scores={name: metrics[name] for name in sorted(metrics) if _SCORED.fullmatch(name)},
        registered=tuple(version for version, _ in index.versions_of({digest: ""})),
        recovery=find_recovery(index.repository, recipe),
    )


def _changed_params(
    index: Index, params: Mapping[str, str], complete: bool, commit: str
) -> list[ChangedParam] | None:
    text = index.repository.text(commit, PARAMS_FILE) if commit else None
    return changed_params(params, text, complete) if params and text is not None else None


def _experiment_of(index: Index, facts: Mapping[str, str]) -> Experiment | None:
    """The experiment that a run belongs to, with its commit where git or a tag has it."""
    name, baseline = facts.get(tags.DVC_EXPERIMENT, ""), facts.get(tags.DVC_BASELINE, "")
    if not name:
        return None
    kept = [each for each in index.repository.experiments_called(name) if each.baseline == baseline]
    known = facts.get(tags.DVC_COMMIT, "")
    return Experiment(name, baseline, known or (kept[0].commit if kept else ""))


def _hash_of_same_model(runs: "list[Run]", candidate: str) -> str | None:
    """DVC's hash as other runs have it that made the same bytes: `sync` tags those of its own folder only."""
    known = [run.data.tags for run in runs if run.data.tags.get(tags.CANDIDATE) == candidate]
    return next((each[tags.DVC_HASH] for each in known if tags.DVC_HASH in each), None)


def _untagged_hash(index: Index, experiment: Experiment | None, digest: str, candidate: str) -> str | None:
    """DVC's hash of a model whose run `sync` has not tagged: its experiment or HEAD may have it.

    Where the bytes are here, the model's card must agree; where not, that the experiment has the same name
    and baseline is all there is.
    """
    path = index.model_path(candidate)
    revision = experiment.commit if experiment and experiment.commit else "HEAD"
    found = index.card_digest(revision, path) if candidate else ""
    if found == digest or (found is None and revision != "HEAD"):
        return index.models_of(revision).get(path)
    return None


def _params(run: "Run | None", parent: "Run | None") -> tuple[dict[str, str], bool]:
    """What is recorded of params.yaml, and whether that is all of it: the parent run has all."""
    if parent is not None and parent.data.params:
        return dict(parent.data.params), True
    if run is None or run.data.tags.get(tags.STAGE) == SEARCH:
        return {}, False  # its run has what the search has found instead
    return dict(run.data.params), False


def _changes(facts: Mapping[str, str]) -> list[str] | None:
    """The files that differed from HEAD; None where it is not known, or not which."""
    if facts.get(tags.GIT_DIRTY) == "false":
        return []
    try:
        return list(json.loads(facts[tags.GIT_CHANGES]))
    except (KeyError, ValueError):
        return None


def _present(facts: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: facts[name] for name in names if facts.get(name)}
