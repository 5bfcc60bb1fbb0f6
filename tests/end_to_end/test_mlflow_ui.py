"""MLflow's web interface in Chromium, as `python -m pipeline ui` opens it after a sweep."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pipeline.foundation.workspace import CANDIDATES
from tests.end_to_end.clones import Clone, copied

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

playwright = pytest.importorskip("playwright.sync_api")

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

EXPERIMENTS = {"low-rate": "0.02", "high-rate": "0.1"}
PATIENCE_MS = 60_000

# Opened once in every new browser; it is MLflow's own and needs a language model.
WITHOUT_ASSISTANT = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"

# MLflow asks who is logged in, which only its servers with accounts know, and Chromium reports the answer;
# a chart that adapts its size takes two frames for it.
NOT_OURS = re.compile(r"/users/current|ResizeObserver loop")


@pytest.fixture(scope="module")
def swept(reproduced: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with the workspace's results, two experiments and a registered model."""
    clone = copied(reproduced, tmp_path_factory.mktemp("swept"))
    for name, rate in EXPERIMENTS.items():
        clone.dvc("exp", "run", "--temp", "--name", name, "-S", f"lr={rate}", "evaluate")
    clone.run(sys.executable, "-m", "pipeline", "register")
    return clone


@pytest.fixture(scope="module")
def address(swept: Clone) -> Iterator[str]:
    """The address that `python -m pipeline ui` announces; afterwards it must have ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "ui", "--port", str(port)],
        cwd=swept.folder,
        env=swept.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line.startswith("http"):
            break
    assert lines, process.wait()
    yield lines[-1].strip()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output.splitlines()[-1]) == (0, "The MLflow UI has ended.")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """An empty page that must not have complained when the test ends."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.add_init_script(WITHOUT_ASSISTANT)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []

    def hear(message: "ConsoleMessage") -> None:
        if message.type == "error":
            complaints.append(f"{message.text} ({message.location['url']})")

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert [complaint for complaint in complaints if not NOT_OURS.search(complaint)] == []


def server_of(address: str) -> str:
    return address.partition("/#/")[0]


def see(locator: "Locator") -> None:
    playwright.expect(locator.first).to_be_visible(timeout=PATIENCE_MS)


def test_the_table_of_runs(address: str, page: "Page") -> None:
    """Trainings with their scores, in groups by experiment, without a click."""
    page.goto(address)
    for name in ("workspace-", *EXPERIMENTS):
        see(page.get_by_text(re.compile(rf"^Group: {name}")))
    for heading in (
        *("Run Name", "network", "lr", "seed", "validation_accuracy", "test_accuracy"),
        *("images_per_second", "Duration", "Version"),
    ):
        see(page.get_by_role("columnheader", name=heading))
    for candidate in CANDIDATES:
        see(page.get_by_role("link", name=candidate, exact=True))
    # Trials and evaluations are not trainings; the second and third experiment had nothing to tune.
    assert page.get_by_role("link", name="baseline", exact=True).count() == 3
    assert page.get_by_role("link", name=re.compile("trial|evaluate")).count() == 0
    assert page.get_by_text("Additional runs").count() == 0
    for rate in EXPERIMENTS.values():
        see(page.get_by_role("gridcell", name=rate, exact=True))


def test_curves_over_several_runs(address: str, page: "Page") -> None:
    page.goto(f"{address}&compareRunsMode=CHART")
    for heading in ("val_accuracy", "val_loss", "learning_rate"):
        see(page.get_by_role("heading", name=heading, exact=True))
    for name in EXPERIMENTS:
        see(page.get_by_text(f"Group: {name}"))
    for candidate in CANDIDATES:
        see(page.get_by_text(f"{candidate} (val_accuracy)"))
    # Three trainings in the workspace, two in each experiment; two of the seven may look alike.
    drawn = """
        [...document.querySelectorAll('[data-testid=experiment-view-compare-runs-card]')]
            .filter(card => card.querySelector('h4').innerText === 'val_accuracy')
            .map(card => [...card.querySelectorAll('path.js-line')].map(line => line.getAttribute('d')))
            .some(lines => new Set(lines).size >= 6)
    """
    page.wait_for_function(drawn, timeout=PATIENCE_MS)


def test_a_confusion_matrix_is_a_picture(address: str, page: "Page") -> None:
    page.goto(address)
    page.get_by_role("link", name="baseline", exact=True).first.click()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("evaluation", exact=True).click()
    page.get_by_text("confusion_matrix_baseline.png").click()
    picture = page.get_by_role("img", name="evaluation/confusion_matrix_baseline.png")
    see(picture)
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 300
    box = picture.bounding_box()
    assert box is not None
    assert box["width"] > 300


def test_a_registered_model_with_its_card(address: str, page: "Page") -> None:
    page.goto(f"{server_of(address)}/#/models/image-classifier?workflowType=machine_learning")
    see(page.get_by_text("@ challenger"))
    see(page.get_by_text("model_digest"))
    page.get_by_role("link", name="Version 1").click()
    see(page.get_by_text("@ challenger"))
    for heading in ("Intended use", "Scores", "Limits"):
        see(page.get_by_role("heading", name=heading))
