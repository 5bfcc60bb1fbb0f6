"""The lineage of what an address means."""

from pipeline.commands.addresses.address import Address
from pipeline.commands.addresses.finding import Finder, UnknownModelError
from pipeline.commands.addresses.found import Found, InRegistry, InRevision, OfRun
from pipeline.foundation.errors import PipelineError
from pipeline.tracking.lineage.backwards import (
    lineage_of_commit,
    lineage_of_run_without_model,
    lost_revisions,
)
from pipeline.tracking.lineage.forwards import (
    lineage_of_candidate,
    lineage_of_digest,
    lineage_of_model,
    lineage_of_version,
)
from pipeline.tracking.lineage.values import Lineage


def lineage_of_address(finder: Finder, address: Address) -> Lineage:
    """As `lineage_of`, also of a commit or experiment that only MLflow remembers."""
    try:
        return lineage_of(finder, finder.find(address))
    except UnknownModelError:
        if not finder.store.exists:
            raise
        with finder.store.failures_as_unavailable():
            lost = [find() for find in lost_revisions(finder.index, str(address))]
        if not lost:
            raise
    if len(lost) > 1:
        raise PipelineError(
            f"'{address}' can mean {len(lost)} things.", found="; ".join(each.subject for each in lost)
        )
    return lost[0]


def lineage_of(finder: Finder, found: Found) -> Lineage:
    """Where a model comes from; of a revision that was named without a candidate, what it has made.

    Raises PipelineError where MLflow does not know it or does not answer.
    """
    index = finder.index
    with finder.store.failures_as_unavailable():
        match found:
            case InRevision(candidate=None):
                return lineage_of_commit(index, found.commit)
            case InRevision():
                return lineage_of_candidate(index, found.commit, finder.candidate(found))
            case InRegistry(name, number):
                return lineage_of_version(index, finder.registry(name).version(number))
            case OfRun(summary):
                run = index.require_run(summary.run_id)
                if not summary.model_digest:
                    return lineage_of_run_without_model(index, run)
                return lineage_of_model(index, summary.model_digest, run)
            case _:
                return lineage_of_digest(index, finder.digest(found), str(found))
