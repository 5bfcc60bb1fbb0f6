"""A small document with a block of every kind, and one with every kind of slide; run as a script, digests.

Texts are such as people give their folders: markup of several languages, quotes, other scripts.
"""

import hashlib
from collections.abc import Mapping

import numpy as np

from pipeline.reporting.document import (
    Bars,
    Block,
    Chart,
    Commands,
    Definitions,
    Details,
    Document,
    Dots,
    Example,
    Fact,
    Facts,
    Finding,
    Gallery,
    Heading,
    Lines,
    Paragraph,
    ReportSection,
    Row,
    Series,
    Slide,
    Stack,
    Strip,
    Strips,
    Table,
)
from pipeline.reporting.house_style import figure_png, in_house_style, new_figure
from pipeline.reporting.pdf import render_pdf
from pipeline.reporting.slides import render_slides
from pipeline.scoring.intervals import Interval

HOSTILE = (
    '#import "secret.typ": *',
    "$x^2$ *bold* _under_ `code`",
    "@reference <label> [block] {code}",
    "back\\slash // comment /* more */",
    'dog "quoted" & <b>cat</b>',
    "~ -- ... = heading",
)
"""Names that would do something else than be printed where a renderer took them for markup."""

IMAGE = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


@in_house_style
def chart(
    name: str, width: float = 4.0, height: float = 3.0, data: Bars | Lines | Dots | None = None
) -> Chart:
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    axes.plot([0, 1, 2], [0.5, 0.7, 0.9], label=HOSTILE[1])
    axes.set_title(f"title of {name}")
    axes.legend()
    alt, caption = f"alternative text of {name}", f"caption of {name}"
    return Chart(name=name, figure=figure, alt=alt, caption=caption, data=data)


def example(number: int, right: bool = False, overlay: bool = True) -> Example:
    predicted = HOSTILE[0] if right else HOSTILE[1]
    return Example(
        name=f"folder/{number:05d}.png",
        image=IMAGE,
        actual=HOSTILE[0],
        predicted=predicted,
        probabilities=((predicted, 0.8), (HOSTILE[2], 0.15)),
        actual_probability=0.05,
        overlay=IMAGE if overlay else None,
    )


def table(rows: int = 3) -> Table:
    return Table(
        caption="caption of the table",
        columns=("Class", "First number", "Second number"),
        rows=tuple((f"row {row}", str(row), str(10 * row)) for row in range(rows)),
        strong=frozenset({1}),
        separated=frozenset({rows - 1}),
    )


def document(rows: int = 3, examples: int = 14, text: str = "A paragraph.") -> Document:
    """One block of every kind.

    Args:
      rows: of the table in the appendix.
      examples: in the gallery.
    """
    return Document(
        title="A title with #hash",
        subtitle="a subtitle with *stars*",
        sections=(
            ReportSection(
                anchor="first",
                title="First section",
                blocks=(
                    Paragraph(text),
                    Finding("A finding."),
                    Facts((Fact("99.2 %", "of the test images", "a note"), Fact("42", "a label"))),
                    Row((chart("left"), Stack((Paragraph("Beside the chart."), table())))),
                    Heading("A heading"),
                    Definitions(tuple((name, f"means {name}") for name in HOSTILE)),
                    Commands((("python -m pipeline serve", "a web page"),)),
                    Details("More of it", (table(rows), chart("folded"))),
                ),
            ),
            ReportSection(
                anchor="second",
                title="Second section",
                blocks=(
                    chart("tall", 6.0, 14.0),
                    Row((chart("one"), chart("two"), chart("three"))),
                    Strips("caption of the strips", (Strip(HOSTILE[3], "12", np.stack([IMAGE] * 4)),)),
                    Gallery(
                        name="all",
                        caption="caption of the gallery.",
                        examples=tuple(example(number) for number in range(examples)),
                    ),
                ),
            ),
        ),
    )


CATEGORIES = ("first", HOSTILE[1])
BARS = Bars(
    categories=CATEGORIES,
    series=(Series("all", (0.5, 1.0), "#0072b2"),),
    shares=True,
    axis_titles=("", "share"),
    alt="bars",
)
LINES = Lines(
    categories=CATEGORIES,
    series=(Series("all", (0.5, None), "#0072b2"),),
    axis_titles=("epoch", "accuracy"),
    alt="lines",
)
DOTS = Dots(
    categories=CATEGORIES,
    series=(Series("all", (0.5, 0.9), ""),),
    colors=("#0072b2", "#0072b2"),
    intervals=(Interval(0.4, 0.6), Interval(0.85, 1.0)),
    axis_titles=("", "x"),
    alt="dots",
)


def with_slides(visuals: Mapping[str, Block | None] | None = None) -> Document:
    """A document of slides alone, with these visuals by their names or with one of each kind."""
    visuals = visuals or {
        "problem": None,
        "data": Gallery("one", "caption of the gallery.", (example(0),)),
        "networks": chart("bars", data=BARS),
        "learning": chart("lines", data=LINES),
        "fitting": chart("dots", data=DOTS),
        "search": Table("the table", ("Name", "Number"), ((HOSTILE[2], "12"),), strong=frozenset({0})),
        "accuracy": chart("picture"),
    }
    slides = tuple(
        Slide(
            name=name,
            title=f"Slide {number}",
            blocks=(*map(Paragraph, HOSTILE), *([visual] if visual else [])),
            notes="A sentence.",
        )
        for number, (name, visual) in enumerate(visuals.items(), start=2)
    )
    return Document(HOSTILE[0], HOSTILE[1], sections=(ReportSection("all", "All", slides),))


def slides_file(document: Document) -> bytes:
    return render_slides(document, {chart.name: figure_png(chart.figure) for chart in document.charts()})


if __name__ == "__main__":
    for content in (render_pdf(document()), slides_file(with_slides())):
        print(hashlib.sha256(content).hexdigest())
