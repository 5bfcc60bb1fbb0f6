"""The grammar in which people name a model, the same for every command. Nothing is looked up here."""

import argparse
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CANDIDATES

BEST, PUBLISHED = "best", "published"

GRAMMAR = (
    (BEST, "the candidate of the working tree that evaluate has chosen"),
    (", ".join(CANDIDATES), "a candidate of the working tree"),
    ("REV, REV:CANDIDATE", "the best candidate of a commit, branch, tag or DVC experiment, or a certain one"),
    ("RUN", "the model of a run in MLflow: the run's id, or its first characters (at least 6)"),
    ("models:/NAME@ALIAS, models:/NAME/VERSION", "a registered model"),
    ("PATH", "a model.keras, its folder, or the folder of an export"),
    ("NAME, NAME/VERSION", "an export by its place below exports/: the latest version, or a certain one"),
    (PUBLISHED, "the export that was published last"),
)
"""Every form that an address may have, and what it names."""
FORMS = ", ".join(form for form, _ in GRAMMAR)

_SCHEME = "models:/"
_REGISTERED = re.compile(_SCHEME + r"([^/@:]+)(?:@([\w-]+)|/([1-9][0-9]*))")
_RUN_ID = re.compile(r"[0-9a-f]{6,32}")
_WIDTH, _FORM_WIDTH = 80, 24


@dataclass(frozen=True)
class NamedCandidate:
    """`tuned`, or `main:tuned`.

    Attributes:
      name: one of CANDIDATES, or BEST.
      revision: a commit, branch, tag or DVC experiment; empty for the working tree.
    """

    name: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.revision}:{self.name}" if self.revision else self.name


@dataclass(frozen=True)
class Registered:
    """`models:/NAME@ALIAS` or `models:/NAME/VERSION`; `which` is an alias, or a version as a number."""

    name: str
    which: str | int

    def __str__(self) -> str:
        return f"{_SCHEME}{self.name}{'@' if isinstance(self.which, str) else '/'}{self.which}"


@dataclass(frozen=True)
class Published:
    """The export that was published last."""

    def __str__(self) -> str:
        return PUBLISHED


@dataclass(frozen=True)
class Word:
    """What its form alone does not tell: a path, an export, a run or a revision."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def may_be_run(self) -> bool:
        return _RUN_ID.fullmatch(self.text) is not None


Address = NamedCandidate | Registered | Published | Word


def parse_address(text: str) -> Address:
    """The address that is written so: `str()` of it is the text again.

    Raises PipelineError for what nothing can be called.
    """
    if text.startswith(_SCHEME):
        match = _REGISTERED.fullmatch(text)
        if match is None:
            raise PipelineError(
                f"'{text}' does not name a registered model.",
                expected="models:/NAME@ALIAS, such as models:/NAME@champion, or models:/NAME/VERSION",
            )
        name, alias, version = match.groups()
        return Registered(name, alias or int(version))
    if text == PUBLISHED:
        return Published()
    revision, _, name = text.rpartition(":")
    if name in (BEST, *CANDIDATES) and (revision or text == name):
        return NamedCandidate(name, revision)
    if not text.strip():
        raise PipelineError("An empty text does not name a model.", expected=FORMS)
    return Word(text)


def asks_mlflow(address: Address) -> bool:
    """Whether its form allows what only MLflow knows."""
    return isinstance(address, Registered) or (isinstance(address, Word) and address.may_be_run)


def add_address(parser: argparse.ArgumentParser, *names: str, role: str, **options: Any) -> None:
    """Declare an argument that names a model.

    Args:
      parser: of the command; the table of all forms stands below its help.
      names: of the argument, as argparse takes them.
      role: what the model is to the command.
      options: for argparse.
    """
    parser.add_argument(*names, type=parse_address, help=f"{role}; see below", **options)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(["a model can be named as:", *_lines()])


def _lines() -> Iterator[str]:
    """GRAMMAR as argparse prints options."""
    for form, meaning in GRAMMAR:
        first, *rest = textwrap.wrap(meaning, _WIDTH - _FORM_WIDTH)
        if len(form) + 4 > _FORM_WIDTH:
            yield f"  {form}"
            form = ""
        yield f"  {form}".ljust(_FORM_WIDTH) + first
        yield from (" " * _FORM_WIDTH + line for line in rest)
