"""The PDF as a reader gets it."""

import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pypdf
import pypdfium2
import pytest

from pipeline.reporting.pdf import render_pdf
from tests.reporting.conftest import Made
from tests.reporting.fake_project import figure_names
from tests.reporting.samples import HOSTILE, document

A4 = (595.28, 841.89)
"""Points."""


def read(content: bytes) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(content))


def squeezed(text: str) -> str:
    """Without white space, which a PDF does not tell reliably."""
    return "".join(text.split())


def text_of(content: bytes) -> str:
    """By PDFium, which is fast; pypdf reads the same sample below."""
    pages = pypdfium2.PdfDocument(content)
    return squeezed("".join(page.get_textpage().get_text_bounded() for page in pages))


@pytest.fixture(scope="module")
def content() -> bytes:
    return render_pdf(document(rows=120))


@pytest.fixture(scope="module")
def sample(content: bytes) -> pypdf.PdfReader:
    return read(content)


def report_of(found: Made) -> bytes:
    return (found.workspace.report / "report.pdf").read_bytes()


def test_the_same_bytes_again_and_in_another_process() -> None:
    first = subprocess.run(
        [sys.executable, "-m", "tests.reporting.samples"], capture_output=True, text=True, check=True
    )
    second = subprocess.run(
        [sys.executable, "-m", "tests.reporting.samples"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "TZ": "Pacific/Auckland", "LANG": "C"},
    )
    assert first.stdout == second.stdout
    assert len(set(first.stdout.split())) == 2  # the PDF and the slides
    same = document()
    assert render_pdf(same) == render_pdf(same)


def test_it_tells_no_date(sample: pypdf.PdfReader) -> None:
    assert sample.metadata is not None
    assert set(sample.metadata) == {"/Title", "/Creator"}
    metadata = sample.xmp_metadata
    assert metadata is not None
    assert metadata.xmp_create_date is None
    assert metadata.xmp_modify_date is None


def test_it_says_that_it_is_accessible(sample: pypdf.PdfReader) -> None:
    """PDF/UA-1; typst refuses to write what it can tell does not conform."""
    assert sample.xmp_metadata is not None
    assert b"<pdfuaid:part>1</pdfuaid:part>" in sample.xmp_metadata.stream.get_data()
    root: Any = sample.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"


def test_names_are_printed_and_never_run(sample: pypdf.PdfReader, content: bytes) -> None:
    by_pypdf = squeezed("".join(page.extract_text() for page in sample.pages))
    for name in HOSTILE:
        assert squeezed(name) in by_pypdf, name
        assert squeezed(name) in text_of(content), name
    assert sample.metadata is not None
    assert sample.metadata.title == "A title with #hash"


def test_pages_are_a4_and_numbered(sample: pypdf.PdfReader) -> None:
    count = len(sample.pages)
    assert count > 3
    for number, page in enumerate(sample.pages, start=1):
        assert (float(page.mediabox.width), float(page.mediabox.height)) == pytest.approx(A4, abs=0.1)
        assert page.extract_text().rstrip().endswith(f"{number} / {count}")


def test_contents_lead_to_the_sections(sample: pypdf.PdfReader) -> None:
    """On the first page there are a link to each of three sections and one to the appendix's table."""
    annotations: Any = sample.pages[0]["/Annots"]
    links = [
        annotation.get_object()
        for annotation in annotations
        if annotation.get_object()["/Subtype"] == "/Link"
    ]
    assert len(links) == 4
    targets = [sample.get_page_number(_target_page(sample, link)) for link in links]
    bookmarks = [entry for entry in sample.outline if not isinstance(entry, list)]
    titles = [str(entry.title) for entry in bookmarks]
    assert titles == ["First section", "Second section", "Appendix: tables and further figures"]
    assert targets[:3] == [sample.get_destination_page_number(entry) for entry in bookmarks]


def test_what_is_folded_away_on_a_screen_is_in_the_appendix(sample: pypdf.PdfReader) -> None:
    told = re.search(r"More of it \(page (\d+)\)", sample.pages[0].extract_text())
    assert told is not None
    page = sample.pages[int(told[1]) - 1].extract_text()
    assert "Appendix" in page
    assert "More of it" in page


def test_a_long_table_repeats_its_titles(sample: pypdf.PdfReader) -> None:
    """The 120 rows of the appendix's table stand on several pages, each below the titles."""
    with_rows = [
        page.extract_text() for page in sample.pages if re.search(r"^row \d\d", page.extract_text(), re.M)
    ]
    assert len(with_rows) > 1
    assert all("Class First number Second number" in text for text in with_rows)
    rows = [row for text in with_rows for row in re.findall(r"^row (\d+) \1 \d+$", text, re.M)]
    assert [int(row) for row in rows] == list(range(120))


def test_figures_are_there_with_their_texts(sample: pypdf.PdfReader, content: bytes) -> None:
    text = text_of(content)
    for name in ("left", "tall", "one", "two", "three", "folded"):
        assert squeezed(f"title of {name}") in text, name
    alternatives = set(_alternative_texts(sample))
    assert {f"alternative text of {name}" for name in ("left", "tall", "one", "folded")} <= alternatives
    assert f"Image of {HOSTILE[3]}" in alternatives
    assert {"Image folder/00000.png", "Heatmap over image folder/00000.png"} <= alternatives


def test_a_gallery_shows_its_first_twelve(content: bytes) -> None:
    text = text_of(content)
    assert squeezed("These are the first 12 of 14; index.html has all.") in text
    assert "folder/00011.png" in text
    assert "folder/00012.png" not in text
    few = text_of(render_pdf(document(examples=12)))
    assert "folder/00011.png" in few
    assert squeezed("index.html has all") not in few


def test_characters_that_the_fonts_lack_are_told_by_number() -> None:
    text = text_of(render_pdf(document(text="A 猫 and a 狗, العربية, שלום, Ελλάδα.")))
    assert squeezed("A <U+732B> and a <U+72D7>,") in text
    assert "Ελλάδα" in text
    assert "שלום" in text
    assert squeezed("they are given by their Unicode numbers") in text
    assert squeezed("Unicode numbers") not in text_of(render_pdf(document()))


def test_nothing_lies_outside_its_page(content: bytes) -> None:
    assert_within_pages(content)


def test_very_long_names_stay_on_their_page() -> None:
    """Without spaces, in letters, and in characters that are printed as their numbers."""
    assert_within_pages(render_pdf(document(text=f"{'w' * 300} {'猫' * 60}")))


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_report_of_any_number_of_classes_is_whole(made: Callable[[int], Made], classes: int) -> None:
    found = made(classes)
    content = report_of(found)
    assert_within_pages(content)
    reader = read(content)
    assert 10 < len(reader.pages) < 80
    text = text_of(content)
    for heading in ("In short", "The images", "The networks", "The models compared", "Terms"):
        assert squeezed(heading) in text
    figures = figure_names(found.workspace)
    alternatives = list(_alternative_texts(reader))
    # Every figure but the two that stand beside the report as files only.
    assert len(alternatives) >= len(figures - {"samples", "mistakes"})
    assert all(alternatives)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (2, ("<b>cat</b> & $x$", 'dog "quoted"')),
        (100, ("a rather long name of a class, number 57",)),
    ],
)
def test_names_of_classes_stand_in_full(
    made: Callable[[int], Made], classes: int, names: tuple[str, ...]
) -> None:
    text = text_of(report_of(made(classes)))
    for name in names:
        assert squeezed(name) in text


def assert_within_pages(content: bytes) -> None:
    for page in pypdfium2.PdfDocument(content):
        width, height = page.get_size()
        for thing in page.get_objects(max_depth=1):
            left, bottom, right, top = thing.get_bounds()
            assert left > -1
            assert bottom > -1
            assert right < width + 1
            assert top < height + 1


def _target_page(reader: pypdf.PdfReader, link: Any) -> Any:
    """The page that a link annotation leads to, by a place or by a name."""
    target = link["/Dest"] if "/Dest" in link else link["/A"]["/D"]
    if isinstance(target, str | bytes):
        page: Any = reader.named_destinations[str(target)].page
        return page.get_object()
    return target[0].get_object()


def _alternative_texts(reader: pypdf.PdfReader) -> Iterator[str]:
    """Of every figure in the tree of tags that screen readers follow."""
    root: Any = reader.trailer["/Root"]
    waiting = [root["/StructTreeRoot"]]
    while waiting:
        element = waiting.pop().get_object()
        if isinstance(element, list):
            waiting += element
        elif isinstance(element, dict):
            if element.get("/S") == "/Figure":
                yield str(element.get("/Alt", ""))
            if "/K" in element:
                waiting.append(element["/K"])
