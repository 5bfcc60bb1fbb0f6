"""`python -m pipeline register`: an evaluated model becomes a version in MLflow's registry."""

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.commands.addresses.address import BEST, Address, add_address
from pipeline.commands.addresses.evaluated import EvaluatedModel, evaluated_model
from pipeline.commands.addresses.finding import Finder
from pipeline.commands.addresses.found import InWorkingTree
from pipeline.commands.registry.model_argument import add_name, registered_model
from pipeline.commands.registry.version_card import CardFacts, version_card, within_limit
from pipeline.commands.reproducing.dvc_process import dvc_status
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import say
from pipeline.foundation.array_types import Float64, UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_json, write_text
from pipeline.foundation.workspace import CARD_FILE, Workspace
from pipeline.images.decoding import encode_png
from pipeline.params.whole import Params
from pipeline.processes.child_process import Say
from pipeline.promotion.gates import REFERENCES
from pipeline.scoring.scores import Scores
from pipeline.tracking import tags
from pipeline.tracking.registry.model_use import EncodedFiles, Use, use_model
from pipeline.tracking.registry.registry import CHALLENGER, CHAMPION, Evidence, Registry, Version
from pipeline.tracking.runs.facts import model_tags
from pipeline.tracking.runs.trainings import TrainedRun, find_trained, tags_of_run
from pipeline.tracking.store import Store

_TAGGED_SCORES = ("accuracy", "accuracy_low", "accuracy_high", "f1_macro", "log_loss", "ece")
_CHECKED_IMAGES, _CHECKED_FILES, _REPETITIONS = 64, 8, 30
_TOLERANCE = 1e-5
"""Two programs that compute the same network in other batches differ by less."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_address(
        parser,
        "model",
        nargs="?",
        metavar="MODEL",
        role=f"the model to register, which has been evaluated (default: {BEST})",
    )
    add_name(parser)


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Register an evaluated model in MLflow, with its lineage, scores and card, as challenger."""
    bring_up_to_date(workspace, store, say)
    register(workspace, store, options.model, options.name, say)


def register(workspace: Workspace, store: Store, model: Address | None, name: str | None, say: Say) -> None:
    """Register a model with its lineage, scores and card, and make it challenger.

    A model that is registered already gets no second version.

    Args:
      workspace: the project.
      store: what has its runs.
      model: what to register, None for the best of the working tree; its evaluation is there, or in a commit
        whose files DVC has.
      name: of the registered model; registry.model of params.yaml where None.
      say: is told what is being done.

    Raises:
      PipelineError: the model is not what evaluate has scored, is not in MLflow, or does not work as
        it is there.
    """
    params, registry = registered_model(workspace, store, name)
    with Finder(workspace, store) as finder:
        found = finder.find(model) if model else finder.best()
        if isinstance(found, InWorkingTree):
            say(f"checking that {found} and its scores are up to date")
            _require_up_to_date(workspace, say)
        evaluated = evaluated_model(finder, found)
        trained = find_trained(store, params.tracking.experiment, evaluated.card.model_digest)
        if trained is None:
            raise PipelineError(
                f"MLflow does not have {found}.",
                expected=f"a run with the model {evaluated.card.model_digest[:12]}…",
                remedy="'python -m pipeline sync' delivers what waits; or train it again: "
                f"'dvc repro -f {evaluated.card.stage}', then 'dvc repro'",
            )
        version = _version(registry, trained, evaluated, params, say)
    say(f"{found} is version {version.number} of '{registry.name}'")
    _make_challenger(registry, version, say)


def _version(
    registry: Registry, trained: TrainedRun, evaluated: EvaluatedModel, params: Params, say: Say
) -> Version:
    """The version of a model with all that belongs to it; made, or completed, where it is not there yet."""
    digest = evaluated.card.model_digest
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _save(evaluated, folder)
        place = registry.place(folder)
        version = registry.version_of(digest)
        if version is not None and version.tags.get(tags.REGISTRATION) == place:
            say("this model and its scores are registered already")
            return version
        use = _require_same_predictions(registry, trained, evaluated, params.threads, say)
        with registry.alone(say):
            version = registry.version_of(digest)
            run_tags = tags_of_run(registry.store, version.run_id if version else trained.run_id)
            values = _version_tags(run_tags, evaluated, use.milliseconds)
            if version is None:
                version = registry.create_version(trained, values)
            else:
                registry.describe(version, values)
            facts = CardFacts(
                name=registry.name,
                version=version.number,
                evaluated=evaluated,
                confidence=params.evaluate.confidence,
                lineage=run_tags,
                latency_ms=float(np.median(use.milliseconds)),
            )
            card = version_card(facts)
            write_text(folder / "model_card.md", card)
            registry.keep(version, folder, place)
            # Only now is the version complete: the next `register` goes on with one that lacks this tag.
            registry.describe(version, {tags.REGISTRATION: place}, within_limit(card))
        return version


def _save(evaluated: EvaluatedModel, folder: Path) -> None:
    """Write what a later decision needs, also on a machine that has neither data nor model."""
    references = {name: evaluated.predictions_of(name) for name in REFERENCES}
    Evidence(evaluated.predictions, references).save(folder)
    evaluated.card.save(folder / CARD_FILE)
    evaluation = {
        "candidate": evaluated.candidate,
        "model_digest": evaluated.card.model_digest,
        "test_digest": evaluated.test_digest,
        "scores": _as_json(evaluated.scores),
        "references": {name: _as_json(scores) for name, scores in evaluated.references.items()},
    }
    write_json(folder / "evaluation.json", evaluation)


def _as_json(scores: Mapping[str, Scores]) -> dict[str, Any]:
    return {subset: each.to_json() for subset, each in scores.items()}


def _require_up_to_date(workspace: Workspace, say: Say) -> None:
    """Raises PipelineError unless models and scores are what dvc.lock says and `dvc repro` would make."""
    done = dvc_status(workspace.root, ["--json", "--with-deps", "evaluate"], say)
    if done.returncode != 0:
        raise PipelineError(
            "DVC cannot tell whether the models are up to date.", found=done.stderr.strip()[-500:]
        )
    stale = json.loads(done.stdout)
    if stale:
        raise PipelineError(
            "The models or their scores are not up to date, so nobody could say what was registered.",
            expected="all stages up to evaluate as dvc.lock has them",
            found="; ".join(f"{stage}: {_changes(changes)}" for stage, changes in stale.items()),
            remedy="run 'dvc repro'; or go back to what was committed: 'git stash; dvc checkout'",
        )


def _changes(changes: list[Any]) -> str:
    """`dvc status` of one stage in a few words."""
    words = []
    for change in changes:
        for kind, paths in change.items() if isinstance(change, dict) else [(change, {})]:
            words.append(f"{kind} {', '.join(paths)}".strip())
    return ", ".join(words)


def _require_same_predictions(
    registry: Registry, trained: TrainedRun, evaluated: EvaluatedModel, threads: int, say: Say
) -> Use:
    """Use the logged model as others will. Raises PipelineError unless it says what evaluate has saved."""
    expected = evaluated.predictions["test"]
    rows = np.unique(np.linspace(0, len(expected) - 1, _CHECKED_IMAGES).astype(int))
    images = evaluated.test_images[rows]
    with tempfile.TemporaryDirectory() as folder:
        use = use_model(
            registry.store,
            f"models:/{trained.model_id}",
            say,
            pixels=images,
            encoded=_as_files(images[:_CHECKED_FILES], Path(folder) / "images"),
            repetitions=_REPETITIONS,
            threads=threads,
        )
    if use.classes != evaluated.card.preprocessing.classes:
        raise PipelineError(
            "The model in MLflow has other classes than the one that was evaluated.",
            expected=", ".join(evaluated.card.preprocessing.classes),
            found=", ".join(use.classes),
        )
    found = np.concatenate([use.pixels, use.encoded])
    wanted = expected.probabilities[np.concatenate([rows, rows[:_CHECKED_FILES]])]
    farthest = float(np.abs(found - wanted).max())
    if not farthest <= _TOLERANCE:
        raise PipelineError(
            "The model in MLflow does not predict what evaluate has saved.",
            expected=f"the same probabilities within {_TOLERANCE:g} on {len(rows)} test images",
            found=f"a difference of {farthest:.3g}",
            remedy=f"train and evaluate it on this machine: 'dvc repro -f {evaluated.card.stage}; dvc repro'",
        )
    say(f"it predicts {len(rows)} test images as evaluate has, pixels and encoded files alike")
    return use


def _as_files(images: UInt8[np.ndarray, "n h w c"], path: Path) -> EncodedFiles:
    """The images as PNG, one behind the other in one file."""
    files = [encode_png(image.squeeze(-1) if image.shape[-1] == 1 else image) for image in images]
    path.write_bytes(b"".join(files))
    sizes = [len(file) for file in files]
    return EncodedFiles(path, [sum(sizes[:index]) for index in range(len(sizes))], sizes)


def _version_tags(
    run_tags: Mapping[str, str], evaluated: EvaluatedModel, milliseconds: Float64[np.ndarray, " repetitions"]
) -> dict[str, str]:
    """All that a version says about itself."""
    card = evaluated.card
    spec = card.preprocessing
    tagged = {
        f"{subset}_{name}": str(value)
        for subset, scores in evaluated.scores.items()
        for name, value in scores.to_json().items()
        if name in _TAGGED_SCORES
    }
    return {
        **{name: run_tags[name] for name in tags.LINEAGE if name in run_tags},
        **({tags.PARENT_RUN: run_tags[tags.NESTED_IN]} if tags.NESTED_IN in run_tags else {}),
        **tagged,
        **model_tags(card.candidate, card.network, card.model_digest),
        tags.CLASSES: json.dumps(spec.classes, ensure_ascii=False),
        tags.INPUT_SIZE: str(spec.image_size),
        tags.COLOR: spec.color,
        tags.SIZE_BYTES: str(evaluated.network.stat().st_size),
        tags.LATENCY_MS: f"{np.median(milliseconds):.4g}",
        tags.LATENCY_P99_MS: f"{np.quantile(milliseconds, 0.99):.4g}",
        tags.TEST_DIGEST: evaluated.test_digest,
    }


def _make_challenger(registry: Registry, version: Version, say: Say) -> None:
    aliases = registry.read().aliases
    if aliases.get(CHAMPION) == version.number:
        say(f"version {version.number} is the champion already; it does not become challenger")
        return
    registry.set_alias(CHALLENGER, version.number)
    before = aliases.get(CHALLENGER, version.number)
    instead = f" instead of version {before}" if before != version.number else ""
    say(f"version {version.number} is challenger{instead}; decide on it with: python -m pipeline promote")
