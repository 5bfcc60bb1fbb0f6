"""What the results were made from: params, versions, digests."""

from pipeline.reporting.content.settings import ReportSettings
from pipeline.reporting.document import Block, Details, Paragraph, Section, Table
from pipeline.reporting.results import Results
from pipeline.reporting.statements import flattened
from pipeline.reporting.wording import candidate_title, compact

_DIGEST_CHARACTERS = 16


def provenance_section(results: Results, settings: ReportSettings) -> Section:
    blocks: tuple[Block, ...] = (
        Paragraph(
            "The same code, params, data and kind of processor give the same models and this same "
            "report, byte by byte. "
            "Digests are the first characters of SHA-256 sums: two things with the same digest are the same."
        ),
        _identity_table(results),
        Details("Table: hyperparameters of each training", (_hyperparameter_table(results),)),
        Details("Table: other params", (_params_table(results, settings),)),
        _versions_table(results),
    )
    return Section(anchor="provenance", title="Params and versions", blocks=blocks)


def _identity_table(results: Results) -> Table:
    rows = [
        ("Images as they were fetched", results.source["dataset"], results.source["fingerprint"]),
        ("Training and validation arrays", "", results.winner.card.data_digest),
    ]
    rows += [
        (f"Model: {candidate_title(candidate.name)}", candidate.card.network, candidate.card.model_digest)
        for candidate in results.candidates
    ]
    return Table(
        caption="What was used and made",
        columns=("Item", "Name", "Digest"),
        rows=tuple((item, name, digest[:_DIGEST_CHARACTERS]) for item, name, digest in rows),
        numeric=(False, False, False),
    )


def _hyperparameter_table(results: Results) -> Table:
    by_candidate = [dict(flattened(candidate.card.hyperparameters)) for candidate in results.candidates]
    names = list(dict.fromkeys(name for values in by_candidate for name in values))
    return Table(
        caption="Hyperparameters of each training",
        columns=("Hyperparameter", *(candidate_title(candidate.name) for candidate in results.candidates)),
        rows=tuple(
            (name, *(compact(values[name]) if name in values else "" for values in by_candidate))
            for name in names
        ),
        numeric=(False, *(True for _ in by_candidate)),
    )


def _params_table(results: Results, settings: ReportSettings) -> Table:
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
        numeric=(False, True),
    )


def _versions_table(results: Results) -> Table:
    versions = [candidate.card.versions for candidate in results.candidates]
    names = list(dict.fromkeys(name for found in versions for name in found))
    return Table(
        caption="Versions that the models were trained with",
        columns=("Software", "Version"),
        rows=tuple(
            (name, ", ".join(dict.fromkeys(found[name] for found in versions if name in found)))
            for name in names
        ),
        numeric=(False, True),
    )
