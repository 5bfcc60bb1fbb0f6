"""What to make of it: strengths, limits, and what to try next."""

from pipeline.reporting import advice
from pipeline.reporting.content.settings import ReportSettings
from pipeline.reporting.document import Block, Definitions, Heading, Section
from pipeline.reporting.results import Results
from pipeline.reporting.wording import candidate_title


def outlook_section(results: Results, settings: ReportSettings) -> Section:
    strengths = advice.strengths(results)
    blocks: list[Block] = []
    if strengths:
        blocks += [
            Heading(f"What speaks for {candidate_title(results.winner.name)}"),
            Definitions(tuple(strengths)),
        ]
    blocks += [
        Heading("Its limits"),
        Definitions(tuple(advice.limits(results, settings.evaluate.confidence))),
        Heading("What to try next"),
        Definitions(tuple(advice.next_steps(results, settings.augmentation))),
    ]
    return Section(anchor="outlook", title="What to make of it", blocks=tuple(blocks))
