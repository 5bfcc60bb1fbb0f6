"""The page in Chromium, as a person uses it: with a mouse, a keyboard, a phone, in the dark."""

import base64
import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from pipeline.images.decoding import FORMATS
from pipeline.inference.exported_model import publish
from pipeline.serving.application import Settings
from pipeline.serving.http.access_control import Access
from pipeline.serving.limits import Limits
from tests.serving.digits_model import export_digits
from tests.serving.live_server import LiveServer, until

pytestmark = [pytest.mark.slow, pytest.mark.browser]

playwright = pytest.importorskip("playwright.sync_api")

if TYPE_CHECKING:
    from playwright.sync_api import Browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = "0123456789abcdef"
BODY_BYTES = 2_000_000
SETTLED = "() => !document.querySelector('[aria-busy=true]')"
# A dialog tells that it was closed a moment after it is hidden.
CAMERA_IS_OFF = "() => document.getElementById('camera-video').srcObject === null"
EXPECTED = re.compile(
    r"Failed to load resource: (the server responded with a status of 4(01|15|22|29) |net::ERR_BLOCKED)"
)
"""What Chromium itself says of a request that the server, or a test, has refused."""

Page = Any
OpenPage = Callable[..., Page]
Upload = dict[str, Any]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *camera])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_digits(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="module")
def server(folder: Path, project: Path) -> Iterator[LiveServer]:
    limits = Limits(workers=2, body_bytes=BODY_BYTES, pixels=5_000_000)
    settings = Settings(folder=folder, samples=project / "samples", limits=limits)
    with LiveServer(settings).running() as running:
        yield running


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[OpenPage]:
    """Opens pages; at the end none of them has complained or asked another server for anything."""
    contexts, complaints, requests = [], [], []

    def opened(url: str, width: int = 1280, height: int = 900, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [text for text in complaints if not EXPECTED.match(text)] == []
    assert [url for url in requests if not url.startswith(("http://127.0.0.1:", "blob:"))] == []


def picture(project: Path, digit: int) -> Upload:
    data = (project / "samples" / f"digit-{digit}.png").read_bytes()
    return {"name": f"my {digit}.png", "mimeType": "image/png", "buffer": data}


BROKEN = {"name": "broken.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\nnonsense"}
NO_IMAGE = {"name": "letter.txt", "mimeType": "text/plain", "buffer": b"Dear Sir"}
HUGE = {"name": "film.png", "mimeType": "image/png", "buffer": b"\0" * (BODY_BYTES + 1)}


def wall() -> Upload:
    buffer = io.BytesIO()
    Image.new("L", (3000, 2000)).save(buffer, format="PNG")
    return {"name": "wall.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def choose(page: Page, *files: Upload) -> None:
    page.set_input_files("#files", list(files))
    settle(page)


def settle(page: Page) -> None:
    page.wait_for_function(SETTLED)


def card(page: Page, name: str) -> Any:
    return page.locator(".card", has=page.get_by_role("heading", name=name, exact=True))


def test_two_images_a_broken_one_and_a_huge_one(
    server: LiveServer, project: Path, open_page: OpenPage
) -> None:
    page = open_page(server.url)
    page.wait_for_selector(".samples button")
    assert page.inner_text("#model").startswith("digits, version 1 (baseline, brightness): right on 90.0 %")
    choose(page, picture(project, 3), picture(project, 7), BROKEN, NO_IMAGE, HUGE, wall())
    for digit in ("3", "7"):
        shown = card(page, f"my {digit}.png")
        assert shown.locator(".verdict").inner_text().split("\n")[0].split()[0] == digit
        assert shown.locator(".bars li").count() == 5
        shares = [float(text.split()[-2]) for text in shown.locator(".bars li").all_inner_texts()]
        assert shares == sorted(shares, reverse=True)
        width = shown.locator("img").evaluate("image => image.naturalWidth")
        assert width == 64
    reasons = {
        "broken.png": "The image cannot be decoded: its header is damaged: Truncated File Read.",
        "letter.txt": f"Not an image of an accepted format: none of {', '.join(FORMATS)}.",
        "film.png": "The file has 2.0 MB; this server takes up to 2.0 MB.",
        "wall.png": "The image cannot be decoded: 3,000 x 2,000 pixels are more than 5,000,000.",
    }
    for name, reason in reasons.items():
        assert card(page, name).locator(".reason").inner_text() == reason
        assert card(page, name).get_by_role("button", name="Try again").count() == 0
    assert page.inner_text("#tally") == "2 images classified, 4 failed."
    assert page.inner_text("#announcement") == "2 images classified, 4 failed."


def test_all_classes_on_demand(server: LiveServer, project: Path, open_page: OpenPage) -> None:
    page = open_page(server.url)
    choose(page, picture(project, 3))
    button = page.get_by_role("button", name="Show all 10 classes")
    assert button.get_attribute("aria-expanded") == "false"
    button.click()
    rows = page.locator(".bars li").all_inner_texts()
    assert len(rows) == 10
    assert {row.split()[0] for row in rows} == set("0123456789")
    page.get_by_role("button", name="Show fewer").click()
    assert page.locator(".bars li").count() == 5
    assert page.inner_text("#announcement").startswith("my 3.png: 3, ")


def test_by_keyboard_alone(server: LiveServer, project: Path, open_page: OpenPage) -> None:
    page = open_page(server.url)
    page.wait_for_selector(".samples button")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to choosing images"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "files"
    # The field itself is hidden; the label that looks like a button shows where the focus is.
    outline = page.evaluate("getComputedStyle(document.querySelector('label.button')).outlineStyle")
    assert outline == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files([picture(project, 1)])
    settle(page)
    for _ in range(2):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.querySelector('img').alt") == "Sample digit-0.png"
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.verdict .share').length === 2")
    page.locator(".card .remove").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".card").count() == 1
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Remove my 1.png"
    page.keyboard.press("Enter")
    assert page.locator("#results").is_hidden()
    assert page.evaluate("document.activeElement.id") == "files"


CONTRAST = """
() => {
  const luminance = (rgb) => rgb.map((level) => level / 255)
    .map((share) => share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4)
    .reduce((sum, share, place) => sum + share * [0.2126, 0.7152, 0.0722][place], 0);
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest('.visually-hidden, :disabled')) continue;
    const [one, two] = [parse(getComputedStyle(node).color).slice(0, 3), ground(node)].map(luminance);
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) low.push(`${node.className || node.tagName}: ${ratio.toFixed(2)}`);
  }
  return low;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("path", ["/", "/model", "/docs"])
def test_on_phones_and_desks_in_light_and_dark(
    server: LiveServer, project: Path, open_page: OpenPage, path: str, width: int, scheme: str
) -> None:
    page = open_page(server.url + path, width=width, color_scheme=scheme)
    if path == "/":
        page.wait_for_selector(".samples button")
        choose(page, picture(project, 3), {**BROKEN, "name": "a" * 120 + ".png"})
    else:
        page.wait_for_selector("h2")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.evaluate(CONTRAST) == []
    targets = page.locator("button:visible, label.button:visible").all()
    assert all(target.bounding_box()["height"] >= 24 for target in targets)


def test_on_a_phone_results_come_into_view(server: LiveServer, project: Path, open_page: OpenPage) -> None:
    page = open_page(server.url, width=360, height=640, has_touch=True, is_mobile=True)
    page.wait_for_selector(".samples button")
    assert page.get_by_text("Drop images here").is_hidden()
    choose(page, picture(project, 3))
    half = "() => document.getElementById('results').getBoundingClientRect().top < innerHeight / 2"
    page.wait_for_function(half)


def test_what_a_screen_reader_finds(server: LiveServer, project: Path, open_page: OpenPage) -> None:
    page = open_page(server.url)
    page.wait_for_selector(".samples button")
    choose(page, picture(project, 3), BROKEN)
    snapshot = page.locator("body").aria_snapshot()
    for line in (
        '- heading "Classify images" [level=1]',
        '- button "Choose files"',
        '- button "Use the camera"',
        '- button "Sample digit-3.png"',
        '- heading "Results" [level=2]',
        '- heading "my 3.png" [level=3]',
        '- list "The most probable classes"',
        '- button "Remove my 3.png"',
        "- status: 1 image classified, 1 failed.",
    ):
        assert line in snapshot, snapshot
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("img:not([alt])").count() == 0


def test_nothing_moves_where_that_is_asked_for(server: LiveServer, open_page: OpenPage) -> None:
    page = open_page(server.url, reduced_motion="reduce")
    names = "[...document.querySelectorAll('*')].map(node => getComputedStyle(node).animationName)"
    assert set(page.evaluate(names)) == {"none"}


def test_drop_and_paste(server: LiveServer, project: Path, open_page: OpenPage) -> None:
    page = open_page(server.url)
    page.evaluate(
        """(encoded) => {
          const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          for (const name of ["one.png", "two.png"]) transfer.items.add(new File([bytes], name));
          const drop = document.getElementById("drop");
          const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
          drop.dispatchEvent(new DragEvent("dragenter", options));
          if (!drop.classList.contains("over")) throw Error("it does not show that it takes a drop");
          drop.dispatchEvent(new DragEvent("drop", options));
          const clipboard = new DataTransfer();
          clipboard.items.add(new File([bytes], "image.png", { type: "image/png" }));
          document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: clipboard }));
        }""",
        base64.b64encode(picture(project, 5)["buffer"]).decode(),
    )
    page.wait_for_function("() => document.querySelectorAll('.verdict .share').length === 3")
    assert page.locator(".name").all_inner_texts() == ["image.png", "one.png", "two.png"]
    assert "over" not in page.locator("#drop").get_attribute("class")


def test_the_camera(server: LiveServer, open_page: OpenPage) -> None:
    page = open_page(server.url)
    page.get_by_role("button", name="Use the camera").click()
    page.wait_for_selector("#camera-take:enabled")
    page.get_by_role("button", name="Take a picture").click()
    page.wait_for_selector(".verdict .share")
    assert page.locator(".name").inner_text() == "camera-1.jpg"
    assert page.locator("#camera").is_hidden()
    page.wait_for_function(CAMERA_IS_OFF)
    page.get_by_role("button", name="Use the camera").click()
    page.wait_for_selector("#camera-take:enabled")
    page.keyboard.press("Escape")
    assert page.locator("#camera").is_hidden()
    page.wait_for_function(CAMERA_IS_OFF)


def test_results_as_files(server: LiveServer, project: Path, open_page: OpenPage) -> None:
    page = open_page(server.url, accept_downloads=True)
    formula = {**picture(project, 3), "name": '=1+1,"x".png'}
    choose(page, formula, BROKEN)

    def download(button: str) -> str:
        with page.expect_download() as started:
            page.get_by_role("button", name=button).click()
        return Path(started.value.path()).read_text(encoding="utf-8")

    rows = list(csv.DictReader(io.StringIO(download("Download CSV"))))
    by_file = {row["file"]: row for row in rows}
    assert set(by_file) == {'\'=1+1,"x".png', "broken.png"}  # a spreadsheet takes it for a text
    good, broken = by_file['\'=1+1,"x".png'], by_file["broken.png"]
    assert (good["predicted"], good["model"], good["version"], good["error"]) == ("3", "digits", "1", "")
    assert sum(float(good[f"p({digit})"]) for digit in range(10)) == pytest.approx(1, abs=1e-5)
    assert float(good["probability"]) == float(good["p(3)"])
    assert broken["error"] == "the image cannot be decoded: its header is damaged: Truncated File Read"
    values = json.loads(download("Download JSON"))
    assert sorted(value["file"] for value in values) == ['=1+1,"x".png', "broken.png"]
    assert next(value["status"] for value in values if "status" in value) == 422


def test_it_asks_for_the_token(folder: Path, project: Path, open_page: OpenPage) -> None:
    settings = Settings(folder=folder, limits=Limits(workers=1), access=Access(token=TOKEN))
    with LiveServer(settings).running() as guarded:
        page = open_page(guarded.url)
        field = page.get_by_label("This server asks for an access token")
        field.fill("wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=The server does not accept this token.")
        choose(page, picture(project, 3))
        assert card(page, "my 3.png").locator(".reason").inner_text() == "A bearer token is required."
        field.fill(TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector(".verdict .share")  # what had failed for want of it is tried again
        assert field.is_hidden()
        for described in ("/model", "/docs"):
            page.goto(guarded.url + described)
            page.wait_for_selector("h2")
            # In another tab the token has to be given again.
            page.evaluate("sessionStorage.clear()")
            page.reload()
            page.get_by_label("This server asks for an access token").fill(TOKEN)
            page.keyboard.press("Enter")
            page.wait_for_selector("h2")


def test_it_waits_when_the_server_has_too_much_to_do(
    folder: Path, project: Path, open_page: OpenPage
) -> None:
    limits = Limits(workers=1, requests_per_client=1)
    with LiveServer(Settings(folder=folder, limits=limits)).running() as busy:
        page = open_page(busy.url)
        choose(page, *(picture(project, digit) for digit in range(8)))
        assert page.inner_text("#tally") == "8 images classified."
        assert '"status": 429' in busy.log


def test_a_server_that_has_gone_and_comes_back(
    server: LiveServer, project: Path, open_page: OpenPage
) -> None:
    page = open_page(server.url)
    page.wait_for_selector(".samples button")
    page.route("**/api/predict", lambda route: route.abort("blockedbyclient"))
    choose(page, picture(project, 3))
    assert card(page, "my 3.png").locator(".reason").inner_text() == "The server cannot be reached."
    page.unroute("**/api/predict")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector(".verdict .share")
    assert page.inner_text("#tally") == "1 image classified."


def test_another_model_takes_over_while_the_page_is_open(
    tmp_path: Path, project: Path, open_page: OpenPage
) -> None:
    first = export_digits(tmp_path)
    with LiveServer(Settings(folder=first, exports=tmp_path, limits=Limits(workers=1))).running() as live:
        page = open_page(live.url)
        page.wait_for_selector("text=digits, version 1")
        publish(tmp_path, export_digits(tmp_path, version=2))
        until(lambda: live.get("/readyz").json()["model"]["version"] == 2)
        choose(page, picture(project, 3))
        page.wait_for_selector("text=digits, version 2")
        publish(tmp_path, tmp_path / "digits" / "3")
        until(lambda: live.get("/readyz").json()["following"]["problem"])
        page.reload()
        page.wait_for_selector("#notice:visible")
        assert "digits/3 cannot be served" in page.inner_text("#notice")


def test_hundreds_of_images(server: LiveServer, open_page: OpenPage) -> None:
    page = open_page(server.url)
    random = np.random.default_rng(0)
    files = []
    for number in range(300):
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(buffer, format="PNG")
        files.append({"name": f"{number}.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    choose(page, *files)
    assert page.inner_text("#tally") == "300 images classified."
    assert page.locator(".name").all_inner_texts() == [f"{number}.png" for number in range(300)]


def test_the_description_of_the_api(server: LiveServer, open_page: OpenPage) -> None:
    page = open_page(server.url + "/docs")
    page.wait_for_selector("h3")
    assert f"curl -F files=@one.png -F files=@two.jpg {server.url}/api/predict" in page.inner_text("main")
    page.locator("summary").first.click()
    assert "415" in page.locator("details").first.inner_text()
