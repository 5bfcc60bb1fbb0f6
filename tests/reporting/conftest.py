"""A fake project per number of classes, with its report, made once."""

from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import Workspace
from pipeline.report import run
from pipeline.reporting import house_style
from pipeline.reporting.results import RunResults
from tests.reporting.fake_project import FakeProject, config, write_fake_project

VOID = {"img", "meta", "link", "br", "input"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]


class Page(HTMLParser):
    """The elements, the visible text and the tables of an HTML page; fails on tags that do not match."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.elements: list[Element] = []
        self.texts: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append(Element(tag, attributes))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows = self.tables.setdefault(str(attributes["aria-label"]), [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"style", "script"} & set(self._open):
            return
        self.texts.append(data)
        if self._open and self._open[-1] in ("td", "th"):
            self._rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]


@dataclass
class Made:
    workspace: Workspace
    page: Page


MANY = tuple(f"a rather long name of a class, number {number}" for number in range(100))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Made]:
    """The report of a fake project with 2, 10 or 100 classes."""
    projects = {
        2: FakeProject(
            classes=("<b>cat</b> & $x$", 'dog "quoted"'),
            wrong={"baseline": range(5), "transfer": range(2), "tuned": range(2, 6)},
        ),
        10: FakeProject(),
        100: FakeProject(
            classes=MANY,
            wrong={"baseline": range(0, 900, 2), "transfer": range(0, 900, 3), "tuned": range(0, 900, 5)},
        ),
    }
    done: dict[int, Made] = {}

    def make(classes: int) -> Made:
        if classes not in done:
            workspace = write_fake_project(tmp_path_factory.mktemp(f"classes{classes}"), projects[classes])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(house_style, "DOTS_PER_INCH", 50)  # a third of the time
                run(workspace, config({"shift": 0.25}), SilentTracker())
            page = Page((workspace.report / "index.html").read_text(encoding="utf-8"))
            done[classes] = Made(workspace, page)
        return done[classes]

    return make


@pytest.fixture
def results(tmp_path: Path) -> Callable[[FakeProject], RunResults]:
    """What is read back from a fake project."""

    def load(project: FakeProject) -> RunResults:
        return RunResults.load(write_fake_project(tmp_path / "project", project))

    return load
