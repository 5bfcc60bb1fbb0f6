"""A small document and a small deck that hold one of everything; run as a script, their digests.

Texts are such as people give their folders: markup of several languages, quotes, other scripts.
"""

import hashlib

import numpy as np

from pipeline.reporting.document import (
    Chart,
    Definitions,
    Details,
    Document,
    Example,
    Fact,
    Facts,
    Finding,
    Gallery,
    Heading,
    Paragraph,
    Row,
    Section,
    Stack,
    Strip,
    Strips,
    Table,
)
from pipeline.reporting.figures.style import figure_png, in_house_style, new_figure
from pipeline.reporting.pdf import render_pdf
from pipeline.reporting.slides import Deck, render_slides
from pipeline.reporting.slides.slide import (
    PERCENT,
    Bars,
    Dots,
    Grid,
    Lines,
    Picture,
    Series,
    Slide,
    Tile,
    Tiles,
    Visual,
)

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
def chart(name: str, width: float = 4.0, height: float = 3.0) -> Chart:
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    axes.plot([0, 1, 2], [0.5, 0.7, 0.9], label=HOSTILE[1])
    axes.set_title(f"title of {name}")
    axes.legend()
    return Chart(name=name, figure=figure, alt=f"alternative text of {name}", caption=f"caption of {name}")


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
        numeric=(False, True, True),
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
            Section(
                anchor="first",
                title="First section",
                blocks=(
                    Paragraph(text),
                    Finding("A finding."),
                    Facts((Fact("99.2 %", "of the test images", "a note"), Fact("42", "a label"))),
                    Row((chart("left"), Stack((Paragraph("Beside the chart."), table())))),
                    Heading("A heading"),
                    Definitions(tuple((name, f"means {name}") for name in HOSTILE)),
                    Details("More of it", (table(rows), chart("folded"))),
                ),
            ),
            Section(
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
        extra_charts=(),
    )


def deck() -> Deck:
    """A slide of every kind of visual."""
    categories = ("first", HOSTILE[1])
    visuals: tuple[Visual | None, ...] = (
        None,
        Tiles((Tile((IMAGE, IMAGE), HOSTILE[0], "a note", "alternative text"),)),
        Bars(categories, (Series("all", (0.5, 1.0), "#0072b2"),), PERCENT, "share", "bars"),
        Lines(categories, (Series("all", (0.5, None), "#0072b2"),), ("epoch", "accuracy"), "lines"),
        Dots(categories, "all", (0.5, 0.9), ("#0072b2",) * 2, ((0.4, 0.6), (0.85, 1.0)), ("", "x"), "dots"),
        Grid((("Name", "Number"), (HOSTILE[2], "12")), (False, True), frozenset({0}), "grid"),
        Picture(_png(), "picture"),
    )
    slides = tuple(
        Slide(title=f"Slide {number}", texts=HOSTILE, notes="A sentence.", visual=visual)
        for number, visual in enumerate(visuals, start=2)
    )
    return Deck(title=HOSTILE[0], subtitle=HOSTILE[1], notes="A sentence.", slides=slides)


def _png() -> bytes:
    return figure_png(chart("picture").figure)


if __name__ == "__main__":
    for content in (render_pdf(document()), render_slides(deck())):
        print(hashlib.sha256(content).hexdigest())
