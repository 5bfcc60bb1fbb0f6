"""The page in Chromium: no request, no complaint, nothing wider than a phone, everything by keyboard."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import pytest

from tests.reporting.conftest import Made

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_page(
    made: Callable[[int], Made],
    browser: "Browser",
    classes: int,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto((made(classes).workspace.report / "index.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert [url for url in requests if not url.startswith("data:")][1:] == []
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
    assert page.evaluate(broken) == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.close()


@pytest.fixture
def report(made: Callable[[int], Made], browser: "Browser") -> Iterator["Page"]:
    """The page about ten classes, on a desk."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((made(10).workspace.report / "index.html").as_uri())
    yield page
    page.close()


def shown(page: "Page", gallery: str) -> list[tuple[str | None, str | None]]:
    """Actual and predicted class of the images that a reader sees, in order."""
    items = page.locator(f"#{gallery} ul > li:visible")
    return [(item.get_attribute("data-actual"), item.get_attribute("data-predicted")) for item in items.all()]


def test_a_gallery_is_filtered_and_ordered(report: "Page") -> None:
    """Transfer's mistakes: three of class 0, the least sure ones, and two of class 1."""
    gallery = report.locator("#mistakes_transfer")
    count = gallery.get_by_role("status")
    assert shown(report, "mistakes_transfer") == [("1", "2")] * 2 + [("0", "1")] * 3
    assert count.text_content() == "5 of 5 images shown"
    gallery.get_by_label("Order").select_option("least confident first")
    assert shown(report, "mistakes_transfer") == [("0", "1")] * 3 + [("1", "2")] * 2
    gallery.get_by_label("Actual class").select_option("1")
    assert shown(report, "mistakes_transfer") == [("1", "2")] * 2
    assert count.text_content() == "2 of 2 images shown"
    gallery.get_by_label("Predicted class").select_option("1")
    assert shown(report, "mistakes_transfer") == []
    assert count.text_content() == "No image of these classes"
    gallery.get_by_label("Actual class").select_option("all")
    assert shown(report, "mistakes_transfer") == [("0", "1")] * 3


def test_a_long_gallery_shows_more_when_asked(made: Callable[[int], Made], browser: "Browser") -> None:
    page = browser.new_page()
    source = (made(10).workspace.report / "index.html").read_text(encoding="utf-8")
    start = source.index("<li", source.index("<ul>", source.index('id="mistakes_transfer"')))
    end = source.index("</ul>", start)
    page.set_content(source[:start] + 6 * source[start:end] + source[end:])
    button = page.locator("#mistakes_transfer").get_by_role("button", name="Show more")
    assert len(shown(page, "mistakes_transfer")) == 24
    button.focus()
    page.keyboard.press("Enter")
    assert len(shown(page, "mistakes_transfer")) == 30
    assert not button.is_visible()
    assert page.evaluate("document.activeElement.tagName") == "LI"
    page.close()


def test_heatmaps_are_switched_by_keyboard(report: "Page") -> None:
    gallery = report.locator("#mistakes_transfer")
    overlay = gallery.locator(".overlay").first
    assert not overlay.is_visible()
    gallery.get_by_role("checkbox", name="Heatmaps").focus()
    report.keyboard.press("Space")
    assert overlay.is_visible()
    assert not report.locator("#right_answers .overlay").first.is_visible()


def test_a_table_is_sorted_by_keyboard_within_its_groups(report: "Page") -> None:
    """The fake accuracies: baseline 90 %, transfer 95 %, tuned 92 %; the references stay below."""
    table = report.locator("table[aria-label^='Scores on the 100\u00a0test images']")
    names = table.locator("tbody th")
    before = names.all_text_contents()
    head = table.locator("th", has_text=re.compile("^Accuracy$"))
    head.get_by_role("button").focus()
    report.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert names.all_text_contents()[:3] == ["Transfer", "Tuned", "Baseline"]
    assert set(names.all_text_contents()[3:]) == set(before[3:])
    assert report.locator("#announcements").text_content() == "Sorted by Accuracy, falling"
    report.keyboard.press("Enter")
    assert names.all_text_contents()[:3] == ["Baseline", "Tuned", "Transfer"]
    assert head.get_attribute("aria-sort") == "ascending"
    table.locator("th", has_text="Model").get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None
    assert names.all_text_contents()[:3] == ["Baseline", "Transfer", "Tuned"]


def test_without_script_everything_is_there(made: Callable[[int], Made], browser: "Browser") -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto((made(10).workspace.report / "index.html").as_uri())
    gallery = page.locator("#mistakes_transfer")
    assert len(shown(page, "mistakes_transfer")) == 5
    assert not gallery.get_by_label("Actual class").is_visible()
    gallery.get_by_role("checkbox", name="Heatmaps").check()
    assert gallery.locator(".overlay").first.is_visible()
    page.close()


def test_dark_turns_curves_over_and_leaves_images(made: Callable[[int], Made], browser: "Browser") -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto((made(10).workspace.report / "index.html").as_uri())
    filter_of = "each => getComputedStyle(each).filter"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 22)"
    assert "invert" in page.locator(".chart:not(.pictorial) img").first.evaluate(filter_of)
    assert page.locator(".chart.pictorial img").first.evaluate(filter_of) == "none"
    page.close()


def test_paper_shows_what_is_folded_and_no_controls(report: "Page") -> None:
    report.emulate_media(media="print")
    assert not report.locator(".tools").first.is_visible()
    assert report.locator("#mistakes_baseline li").first.evaluate("each => each.offsetHeight") > 0
