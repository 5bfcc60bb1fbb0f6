"""What the results were made from: params, versions, digests."""

from collections.abc import Iterator

from pipeline.params.base import flattened
from pipeline.reporting.document import Block, Details, Paragraph, Table
from pipeline.reporting.results import ReportSettings, RunResults
from pipeline.reporting.wording import compact

_DIGEST_CHARACTERS = 16


def provenance(results: RunResults, settings: ReportSettings) -> Iterator[Block]:
    yield Paragraph(
        "The same code, params, data and kind of processor give the same models and this same report, byte "
        "for byte. Digests are the first characters of SHA-256 sums: two things with the same digest are the "
        "same."
    )
    yield _identity_table(results)
    yield Details("Table: hyperparameters of each training", (_hyperparameter_table(results),))
    yield Details("Table: other params", (_params_table(results, settings),))
    yield _versions_table(results)


def _identity_table(results: RunResults) -> Table:
    rows = [
        ("Images as they were fetched", results.source.dataset, results.source.fingerprint),
        ("Training and validation arrays", "", results.winner.card.data_digest),
    ]
    rows += [
        (f"Model: {each.title}", each.card.network, each.card.model_digest) for each in results.candidates
    ]
    return Table(
        caption="What was used and made",
        columns=("Item", "Name", "Digest"),
        rows=tuple((item, name, digest[:_DIGEST_CHARACTERS]) for item, name, digest in rows),
        text_columns=frozenset({0, 1, 2}),
    )


def _hyperparameter_table(results: RunResults) -> Table:
    by_candidate = [dict(flattened(candidate.card.hyperparameters)) for candidate in results.candidates]
    names = list(dict.fromkeys(name for values in by_candidate for name in values))
    return Table(
        caption="Hyperparameters of each training",
        columns=("Hyperparameter", *(candidate.title for candidate in results.candidates)),
        rows=tuple(
            (name, *(compact(values[name]) if name in values else "" for values in by_candidate))
            for name in names
        ),
    )


def _params_table(results: RunResults, settings: ReportSettings) -> Table:
    spec = results.preprocessing
    values = {
        "seed": settings.seed,
        "preprocess": {"image_size": spec.image_size, "resize": spec.resize, "color": spec.color},
        "augmentation": settings.augmentation.model_dump(),
        "evaluate": settings.evaluate.model_dump(),
        "report": settings.report.model_dump(),
    }
    return Table(
        caption="Other params",
        columns=("Param", "Value"),
        rows=tuple((name, compact(value)) for name, value in flattened(values)),
    )


def _versions_table(results: RunResults) -> Table:
    versions = [candidate.card.versions for candidate in results.candidates]
    names = list(dict.fromkeys(name for found in versions for name in found))
    return Table(
        caption="Versions that the models were trained with",
        columns=("Software", "Version"),
        rows=tuple(
            (name, ", ".join(dict.fromkeys(found[name] for found in versions if name in found)))
            for name in names
        ),
    )
