"""Finds out what a person means, and traces it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError
from pipeline.repository.repository import Experiment
from pipeline.tracking import tags
from pipeline.tracking.lineage.backwards import (
    lineage_of_commit,
    lineage_of_lost_experiment,
    lineage_of_run_without_model,
)
from pipeline.tracking.lineage.forwards import lineage_of_model, lineage_of_version
from pipeline.tracking.lineage.index import Index, first_maker
from pipeline.tracking.lineage.values import Lineage
from pipeline.tracking.store import Store, is_rejection

if TYPE_CHECKING:
    from mlflow.entities import Run

_MODEL_FILE = "model.keras"
_VERSION = re.compile(r"(?:models:/)?(?P<name>[^/@:]+)(?:@(?P<alias>[\w-]+)|/(?P<version>\d+))")
_RUN_ID = re.compile(r"[0-9a-f]{6,32}")
_COMMIT_HASH = re.compile(r"[0-9a-f]{40}")
_SEARCHABLE = re.compile(r"[\w./:@+ -]+")

Match = tuple[str, Callable[[], Lineage]]
"""What something may be, in words, and how its lineage is found."""


def trace(store: Store, experiment: str, what: str) -> Lineage:
    """The lineage of a model (forwards) or of a revision (backwards).

    Args:
      store: what MLflow knows of the project.
      experiment: MLflow's name for the project.
      what: `models:/NAME@ALIAS` or `models:/NAME/VERSION`, also without `models:/`; a run's id or at least
        six characters of its beginning; a model.keras or the folder of one, wherever it lies; a commit,
        branch, tag or DVC experiment.

    Raises:
      PipelineError: it is nothing of that, or several things at once; or MLflow cannot be reached.
    """
    with _open(store, experiment) as index:
        return _the_only_match(index, what)()


def makers(store: Store, experiment: str, commit: str) -> dict[str, dict[str, str]]:
    """The tags of the run that made each model in a commit's dvc.lock, by path, where MLflow knows it.

    Raises:
      PipelineError: MLflow cannot be reached.
    """
    with _open(store, experiment) as index:
        found = {
            path: index.makers_of(commit, path, dvc_hash)
            for path, dvc_hash in index.models_of(commit).items()
        }
        return {path: dict(first_maker(runs).data.tags) for path, runs in found.items() if runs}


@contextmanager
def _open(store: Store, experiment: str) -> Iterator[Index]:
    """The index; failures of MLflow's are explained."""
    index = Index(store, experiment)
    with index.store_errors():
        yield index


def _the_only_match(index: Index, what: str) -> Callable[[], Lineage]:
    """Raises PipelineError where there is none or more than one."""
    path = _model_file(what)
    if path is not None:
        return partial(_lineage_of_file, index, path)
    matches = [*_versions_called(index, what)]
    if not what.startswith("models:/"):
        matches += [*_runs_called(index, what), *_revisions_called(index, what)]
    if len(matches) == 1:
        return matches[0][1]
    if matches:
        raise PipelineError(
            f"'{what}' may mean {len(matches)} things.",
            expected="one thing: more characters, or models:/NAME/VERSION, a full run id, or a commit",
            found="; ".join(words for words, _ in matches),
        )
    raise PipelineError(
        f"'{what}' is nothing that git, DVC or MLflow knows.",
        expected="models:/NAME@ALIAS, models:/NAME/VERSION, a run id (or 6 characters of one), "
        "a model.keras or its folder, or a commit, branch, tag or DVC experiment",
        found=f"none of these in {_places(index)}",
        remedy="'python -m pipeline runs' lists runs, 'dvc exp show' experiments; 'git fetch' and "
        "'dvc exp pull' bring those of colleagues",
    )


def _places(index: Index) -> str:
    commit = index.repository.head()
    git = f"the git repository (HEAD {commit[:7]})" if commit else "git (this is no repository)"
    return f"MLflow's experiment '{index.experiment}' and registry, nor in {git}, nor as a file"


def _versions_called(index: Index, what: str) -> Iterator[Match]:
    match = _VERSION.fullmatch(what)
    if match is None:
        return
    client, (name, alias, number) = index.store.client, match.group("name", "alias", "version")
    try:
        version = (
            client.get_model_version_by_alias(name, alias)
            if alias
            else client.get_model_version(name, number)
        )
    except Exception as error:
        if not is_rejection(error):
            raise
        return
    yield f"version {version.version} of the model {name}", partial(lineage_of_version, index, version)


def _runs_called(index: Index, what: str) -> Iterator[Match]:
    if not _RUN_ID.fullmatch(what):
        return
    if len(what) == 32:
        run = index.run(what)
        found = [run] if run else []
    else:
        found = index.search(f"attributes.run_id LIKE '{what}%'")
    for run in found:
        yield f"run {run.info.run_id} ({run.info.run_name})", partial(_lineage_of_run, index, run)


def _revisions_called(index: Index, what: str) -> Iterator[Match]:
    commit = index.repository.git_commit(what)
    if commit:
        yield f"commit {index.repository.title(commit)}", partial(lineage_of_commit, index, commit)
        return
    kept = index.repository.experiments_called(what)
    for each in kept:
        yield (
            f"experiment {what} of {each.baseline[:7]}, commit {each.commit[:7]}",
            partial(lineage_of_commit, index, each.commit),
        )
    if kept or not _SEARCHABLE.fullmatch(what):
        return
    if _COMMIT_HASH.fullmatch(what):
        if index.with_tags({tags.DVC_COMMIT: what}) or index.with_tags({tags.GIT_COMMIT: what}):
            yield f"commit {what[:7]}, which this repository lacks", partial(lineage_of_commit, index, what)
        return
    runs = index.with_tags({tags.DVC_EXPERIMENT: what})
    for baseline in sorted({run.data.tags.get(tags.DVC_BASELINE, "") for run in runs}):
        gone = Experiment(what, baseline, "")
        yield (
            f"experiment {what} of {baseline[:7]}, which this repository lacks",
            partial(lineage_of_lost_experiment, index, gone),
        )


def _lineage_of_file(index: Index, path: Path) -> Lineage:
    digest = digest_file(path)
    runs = index.with_tags({tags.MODEL_DIGEST: digest})
    if not runs:
        raise PipelineError(
            f"No run in MLflow has made {path}.",
            expected=f"a run with the model digest {digest}",
            found=_places(index),
            remedy="'python -m pipeline sync' delivers what waits; a model that was trained elsewhere is "
            "known to the MLflow store of that place (MLFLOW_TRACKING_URI)",
        )
    return lineage_of_model(index, digest, first_maker(runs))


def _lineage_of_run(index: Index, run: "Run") -> Lineage:
    digest = run.data.tags.get(tags.MODEL_DIGEST)
    return lineage_of_model(index, digest, run) if digest else lineage_of_run_without_model(index, run)


def _model_file(what: str) -> Path | None:
    """The model file that a path means; None where it is no path of one."""
    path = Path(what).expanduser()
    if path.is_file():
        return path
    return path / _MODEL_FILE if (path / _MODEL_FILE).is_file() else None
