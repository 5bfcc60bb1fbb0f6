"""The page as a reader's browser gets it."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from pipeline.reporting.page.rendering import thumbnail
from tests.reporting.conftest import Made
from tests.reporting.fake_project import figure_names

Make = Callable[[int], Made]
PERCENTAGES = {
    "Accuracy": "accuracy",
    "Top-3 accuracy": "top_3_accuracy",
    "F1 (macro)": "f1_macro",
    "Precision (macro)": "precision_macro",
    "Recall (macro)": "recall_macro",
    "Calibration error": "ece",
}
BESIDE = {"report.pdf", "slides.pptx"}
"""Files that the report's folder holds, as tests/stages/test_report.py sees to."""
ALL = pytest.mark.parametrize("classes", [2, 10, pytest.param(100, marks=pytest.mark.slow)])


@ALL
def test_nothing_is_fetched_from_anywhere(made: Make, classes: int) -> None:
    page = made(classes).page
    for element in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            target = element.attributes.get(name)
            assert target is None or target in BESIDE or target.startswith(("data:", "#")), target
    assert not re.search(r"url\(|@import|https?:", page.source)


@ALL
def test_the_only_script_is_the_one_that_the_policy_names(made: Make, classes: int) -> None:
    page = made(classes).page
    script = re.search(r"<script>(.*?)</script>", page.source, re.DOTALL)
    assert script is not None
    assert len(page.all("script")) == 1
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = next(
        str(meta.attributes["content"]) for meta in page.all("meta") if "http-equiv" in meta.attributes
    )
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


@ALL
def test_links_lead_somewhere(made: Make, classes: int) -> None:
    page = made(classes).page
    identities = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(identities) == len(set(identities))
    targets = [str(link.attributes["href"]) for link in page.all("a")]
    assert set(targets) >= BESIDE
    assert {target[1:] for target in targets if target not in BESIDE} <= set(identities)


@ALL
def test_headings_and_texts_for_pictures(made: Make, classes: int) -> None:
    page = made(classes).page
    levels = [int(element.tag[1]) for element in page.elements if re.fullmatch("h[1-6]", element.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all("alt" in image.attributes for image in page.all("img"))
    assert page.all("html")[0].attributes["lang"] == "en"


@ALL
def test_every_figure_is_on_the_page_and_beside_it(made: Make, classes: int) -> None:
    names = figure_names(made(classes).workspace)
    assert {
        f"{kind}_{name}"
        for kind in (
            *("network", "training", "calibration", "confidence", "confusion", "precision_recall", "roc"),
            *("heatmaps", "features", "filters", "pca", "tsne"),
        )
        for name in ("baseline", "transfer", "tuned")
    } <= names
    assert {"accuracy", "classes", "learning", "tuning", "per_class", "heatmaps_compared"} <= names
    assert {"samples", "mistakes"} <= names
    charts = [image for image in made(classes).page.all("img") if "width" in image.attributes]
    assert len(charts) == len(names - {"samples", "mistakes"})


def test_numbers_are_those_of_evaluate_json(made: Make) -> None:
    found = made(10)
    scores = json.loads(found.workspace.scores.read_text())
    table = found.page.tables["Scores on the 100\u00a0test images (bold: the network that was chosen)"]
    head, *rows = table
    by_model = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert len(by_model) == 5
    for name in ("baseline", "transfer", "tuned"):
        expected, row = scores[name]["test"], by_model[name.capitalize()]
        for column, key in PERCENTAGES.items():
            shown = float(row[column].removesuffix("\u00a0%"))
            assert shown == pytest.approx(100 * expected[key], abs=0.051), (name, column)
        assert float(row["Log loss"]) == pytest.approx(expected["log_loss"], abs=0.00051)
        assert float(row["Brier score"]) == pytest.approx(expected["brier_score"], abs=0.00051)
    baseline = rows[0]
    low, high = scores["baseline"]["test"]["accuracy_low"], scores["baseline"]["test"]["accuracy_high"]
    assert baseline[2] == f"{100 * low:.1f} – {100 * high:.1f}"


def test_top_k_is_left_out_where_it_is_one_by_definition(made: Make) -> None:
    assert "Top-3 accuracy" in made(10).page.text
    assert "Top-3 accuracy" not in made(2).page.text


def test_names_are_escaped(made: Make) -> None:
    page = made(2).page
    assert "<b>cat</b>" in page.text
    assert "<b>" not in page.source
    assert page.all("b") == []
    assert 'dog "quoted"' in page.text


@pytest.mark.slow
def test_long_names_of_many_classes_stand_in_full_in_the_tables(made: Make) -> None:
    page = made(100).page
    table = page.tables["Images per class and subset"]
    assert [row[0] for row in table[1:-1]] == [
        f"a rather long name of a class, number {number}" for number in range(100)
    ]
    assert table[-1] == ["All", "800", "400", "1,000"]


def test_nothing_of_this_run_or_machine_is_told(made: Make) -> None:
    found = made(10)
    assert "somewhere/secret" not in found.page.source
    assert str(found.workspace.root) not in found.page.source
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", found.page.text)


def test_examples_show_probabilities(made: Make) -> None:
    """The surest mistake of Transfer is its last one, with a confidence of 0.7 + 0.2 * 4 / 5 = 86 %."""
    found = made(10)
    texts = [text.strip() for text in found.page.texts if text.strip()]
    start = next(i for i, text in enumerate(texts) if text.startswith("Transfer: 5\u00a0mistakes"))
    start = texts.index("✗", start)  # after the controls
    first = texts[start : start + 11]
    assert first[:5] == ["✗", "2", "actually 1", "2", "86.0\u00a0%"]
    assert "folder/00136.png" in first  # 80 training and 40 validation images, then row 16


def test_mistakes_can_be_chosen_by_class_and_confidence(made: Make) -> None:
    """Transfer takes rows 0, 4, 8 for class 1 and rows 12, 16 for class 2; the later, the surer."""
    shown = [
        (
            image.attributes["data-actual"],
            image.attributes["data-predicted"],
            image.attributes["data-confidence"],
        )
        for image in made(10).page.all("li")
        if "data-actual" in image.attributes
    ]
    assert shown[:5] == [
        ("1", "2", "0.8600"),
        ("1", "2", "0.8200"),
        ("0", "1", "0.7800"),
        ("0", "1", "0.7400"),
        ("0", "1", "0.7000"),
    ]
    options = re.search(r'<select data-filter="predicted">(.*?)</select>', made(10).page.source, re.DOTALL)
    assert options is not None
    assert re.findall(r'<option value="(\d)">\1</option>', options[1]) == ["1", "2"]


def test_every_mistake_with_a_heatmap_shows_it(made: Make) -> None:
    page = made(10).page
    start = page.source.index('id="mistakes_transfer"')
    gallery = page.source[start : page.source.index("</figure>", start)]
    assert gallery.count('class="overlay') == 5
    assert gallery.count('class="heat"') == 1


def test_a_thumbnail_is_small_and_keeps_gray_images() -> None:
    assert thumbnail(np.zeros((300, 200, 3), np.uint8)).startswith("data:image/webp;base64,")
    assert len(thumbnail(np.zeros((16, 16, 1), np.uint8))) < 300


def test_a_coarse_thumbnail_keeps_every_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    content = base64.b64decode(thumbnail(image).partition("base64,")[2])
    with Image.open(io.BytesIO(content)) as picture:
        np.testing.assert_array_equal(np.asarray(picture), image)
