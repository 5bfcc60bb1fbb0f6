"""Finds what an address means: in the working tree, on disk, in git and DVC, in MLflow.

Only the places that the form of an address allows are asked, and what is slow to import only then: a path
needs no git, and MLflow is needed for what can be the id of a run. An address that fits several things is
refused.
"""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

from pipeline.commands.addresses.address import (
    BEST,
    FORMS,
    PUBLISHED,
    Address,
    NamedCandidate,
    Published,
    Registered,
    Word,
)
from pipeline.commands.addresses.found import (
    Export,
    Found,
    InRegistry,
    InRevision,
    InWorkingTree,
    OfRun,
    OnDisk,
)
from pipeline.commands.terminal import suggestion
from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import path_of, read_json
from pipeline.foundation.workspace import CANDIDATES, NETWORK_FILE, Workspace
from pipeline.inference.exported_model import ExportedModel, exports_below, latest_export, published
from pipeline.tracking.store import Store, StoreUnavailableError

if TYPE_CHECKING:
    from pipeline.repository.repository import Repository
    from pipeline.repository.stage_outputs import StageOutputs
    from pipeline.tracking.lineage.index import Index
    from pipeline.tracking.registry.registry import Registry


_NO_REVISIONS = ("/", ".", "~", "-")
"""With these a path can begin, or an option, but no name of git's."""


class UnknownModelError(PipelineError):
    """Nothing is called so."""


class Finder:
    """Looks for models from one project folder; git, DVC and MLflow are opened when they are needed.

    What it copies out of DVC's cache goes away when the block ends: `with Finder(...) as finder`.
    """

    def __init__(self, workspace: Workspace, store: Store) -> None:
        self.workspace = workspace
        self.store = store
        self._outputs: dict[str, StageOutputs] = {}

    def __enter__(self) -> Self:
        self._copies = ExitStack()
        return self

    def __exit__(self, *raised: object) -> None:
        self._copies.close()

    @cached_property
    def scratch(self) -> Path:
        """A folder for copies, made when there is one."""
        return Path(self._copies.enter_context(TemporaryDirectory()))

    @cached_property
    def repository(self) -> "Repository":
        from pipeline.repository.repository import Repository

        return Repository(self.workspace.root)

    @cached_property
    def index(self) -> "Index":
        """What MLflow knows."""
        from pipeline.params.whole import load_params
        from pipeline.tracking.lineage.index import Index

        return Index(self.store, load_params(self.workspace.params).tracking.experiment)

    def registry(self, name: str) -> "Registry":
        from pipeline.tracking.registry.registry import Registry

        return Registry(self.store, name)

    @cached_property
    def working_tree(self) -> "StageOutputs":
        from pipeline.repository.stage_outputs import outputs_in_working_tree

        return outputs_in_working_tree(self.workspace, self.repository)

    def outputs(self, commit: str) -> "StageOutputs":
        """What DVC keeps of a commit."""
        from pipeline.repository.repository import Experiment
        from pipeline.repository.stage_outputs import outputs_of_commit

        if commit not in self._outputs:
            revision = Experiment(name=commit, baseline=commit, commit=commit)
            found = outputs_of_commit(self.workspace, self.repository, revision, self.scratch, {})
            self._outputs[commit] = found
        return self._outputs[commit]

    def best(self) -> InWorkingTree:
        """The candidate of the working tree that evaluate has chosen."""
        return InWorkingTree(str(read_json(self.workspace.best)["candidate"]))

    def published(self) -> Export:
        """The export that was published last."""
        return Export(published(self.workspace.exports))

    def find(self, address: Address) -> Found:
        """The one thing that an address means.

        Raises PipelineError where it means nothing, or several things, which are then listed.
        """
        found: list[Found]
        match address:
            case Registered(name, which):
                return InRegistry(
                    name, self.registry(name).aliased(which) if isinstance(which, str) else which
                )
            case NamedCandidate(name, ""):
                # Not what is called so below exports/: that is the candidate's own export.
                candidate = self.best() if name == BEST else InWorkingTree(name)
                found = [candidate, *self._at(Path(name)), *self._revisions(name)]
            case NamedCandidate(name, revision):
                found = [replace(each, candidate=name) for each in self._revisions(revision)]
            case Published():
                found = [self.published(), *self._on_disk(PUBLISHED), *self._revisions(PUBLISHED)]
            case Word(text):
                found = [*self._on_disk(text), *self._revisions(text)]
                found += self._runs(address, others=bool(found))
        if len(found) > 1:
            # What is written in full is meant, whatever else happens to be called so.
            found = [each for each in found if self._in_full(each) == str(address)] or found
        if len(found) > 1:
            raise PipelineError(
                f"'{address}' can mean {len(found)} things.",
                expected="one of " + "; ".join(f"{self._in_full(each)} ({each})" for each in found),
            )
        if not found:
            raise self._unknown(address)
        return found[0]

    def title(self, commit: str) -> str:
        """A commit in words; the subject of an experiment's own commit is a checksum."""
        for each in self.repository.experiments():
            if each.commit == commit:
                return f"experiment {each.name}, commit {commit[:7]} on top of {each.baseline[:7]}"
        return f"commit {self.repository.title(commit)}"

    def candidate(self, revision: InRevision) -> str:
        """Which candidate of a revision is meant. Raises PipelineError where that cannot be read."""
        if revision.candidate not in (None, BEST):
            return str(revision.candidate)
        best = self.outputs(revision.commit).read_json(self.workspace.best)
        if best is None:
            raise PipelineError(
                f"Which model of {revision.title} is the best cannot be read.",
                expected="models/best.json in DVC's cache or remote",
                remedy=f"name a candidate, such as {revision.name}:{CANDIDATES[0]}",
            )
        return str(best["candidate"])

    def digest(self, found: Found) -> str:
        """SHA-256 of the model's network. Raises PipelineError where that is not known."""
        digest = ""
        match found:
            case InWorkingTree(candidate):
                digest = read_json(self.workspace.card(candidate))["model_digest"]
            case InRevision():
                card = self.outputs(found.commit).card(self.candidate(found)) or {}
                digest = card.get("model_digest", "")
            case OfRun(run):
                digest = run.model_digest
            case InRegistry(name, version):
                digest = self.registry(name).version(version).model_digest
            case OnDisk(network):
                digest = digest_file(network)
            case Export(folder):
                digest = ExportedModel.load(folder).model_digest
        if not digest:
            raise PipelineError(
                f"No model of {found} is known.",
                expected="a model, or its card in DVC's cache",
                remedy="'dvc pull' or 'dvc exp pull' brings what colleagues have",
            )
        return str(digest)

    def _on_disk(self, text: str) -> Iterator[Found]:
        """Files and folders of models, and exports: by their path, or below exports/."""
        paths = (path_of(text), self.workspace.exports / text)
        for path in {each.resolve(): each for each in reversed(paths)}.values():
            yield from self._at(path)

    def _at(self, path: Path) -> Iterator[Found]:
        if path.is_file() and path.suffix == Path(NETWORK_FILE).suffix:
            yield OnDisk(path)
        elif (path / NETWORK_FILE).is_file():
            yield OnDisk(path / NETWORK_FILE)
        elif (folder := latest_export(path)) is not None:
            yield Export(folder)

    def _revisions(self, text: str) -> Iterator[InRevision]:
        if text.startswith(_NO_REVISIONS):
            return
        try:
            repository = self.repository
        except ModuleNotFoundError:
            return  # with only what serving needs installed, exports are all there is
        commits = {each.commit for each in repository.experiments_called(text)}
        commits |= {*repository.refs_called(text).values(), repository.git_commit(text) or ""}
        yield from (InRevision(text, commit, self.title(commit)) for commit in sorted(commits - {""}))

    def _runs(self, word: Word, others: bool) -> list[Found]:
        """MLflow's runs of that id; that it does not answer is no failure where `others` are called so."""
        if not (word.may_be_run and self.store.exists):
            return []
        from pipeline.tracking.lineage.index import summary

        try:
            with self.store.failures_as_unavailable():
                return [OfRun(summary(run)) for run in self.index.runs_called(word.text)]
        except StoreUnavailableError:
            if not others:
                raise
            return []

    def _in_full(self, found: Found) -> str:
        """The address that means this alone."""
        match found:
            case InWorkingTree(candidate):
                return _path_in_full(self.workspace.model(candidate))
            case InRevision(name, commit, candidate=candidate):
                refs = self.repository.refs_called(name).items()
                revision = next((ref for ref, target in refs if target == commit), commit)
                return f"{revision}:{candidate}" if candidate else revision
            case OfRun(run):
                return run.run_id
            case OnDisk(path) | Export(path):
                return _path_in_full(path)
            case InRegistry(name, version):
                return str(Registered(name, version))

    def _unknown(self, address: Address) -> UnknownModelError:
        place = address.revision if isinstance(address, NamedCandidate) else str(address)
        exports = [each.relative_to(self.workspace.exports) for each in exports_below(self.workspace.exports)]
        names = [BEST, *CANDIDATES, PUBLISHED, *(each.parent.name for each in exports), *map(str, exports)]
        with suppress(ModuleNotFoundError):
            names += self.repository.names()
        return UnknownModelError(
            f"Nothing is called '{place}'.",
            expected=FORMS,
            found="no file, commit, branch, tag, experiment, run or export of that name; exports here: "
            + (", ".join(map(str, exports)) or "none"),
            remedy=f"{suggestion(place, names)}'python -m pipeline runs' lists runs, 'dvc exp show' lists "
            "experiments; 'git fetch' and 'dvc exp pull' bring those of colleagues",
        )


def _path_in_full(path: Path) -> str:
    """A path that can be nothing else."""
    path, here = path.absolute(), Path.cwd()
    return f"./{path.relative_to(here).as_posix()}" if path.is_relative_to(here) else str(path)
