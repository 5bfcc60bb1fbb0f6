"""The grammar of addresses, without looking anything up."""

import argparse
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.commands.addresses.address import (
    BEST,
    GRAMMAR,
    Address,
    NamedCandidate,
    Published,
    Registered,
    Word,
    add_address,
    asks_mlflow,
    parse_address,
)
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CANDIDATES

NAMES = st.text(string.ascii_letters + string.digits + "-_. ", min_size=1)
ALIASES = st.from_regex(r"[\w-]+", fullmatch=True)
PIECES = st.sampled_from(
    ["models:/", "best", "tuned", ":", "@", "/", "published", "main", "v1", "0", "7", "~", ""]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=6).map("".join)))
@settings(deadline=None)
def test_an_address_is_written_as_it_was_typed(text: str) -> None:
    try:
        written = str(parse_address(text))
    except PipelineError:
        written = text if text.startswith("models:/") or not text.strip() else "refused"
    assert written == text


@given(
    st.one_of(
        st.builds(NamedCandidate, st.sampled_from((BEST, *CANDIDATES)), st.one_of(st.just(""), NAMES)),
        st.builds(
            Registered, NAMES, st.one_of(st.integers(min_value=1), st.from_regex(r"[\w-]+", fullmatch=True))
        ),
        st.just(Published()),
    )
)
@settings(deadline=None)
def test_what_is_written_is_read_back(address: Address) -> None:
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("best", NamedCandidate("best")),
        ("tuned", NamedCandidate("tuned")),
        ("main:tuned", NamedCandidate("tuned", "main")),
        ("HEAD~1:best", NamedCandidate("best", "HEAD~1")),
        ("models:/digits@champion", Registered("digits", "champion")),
        ("models:/digits/3", Registered("digits", 3)),
        ("published", Published()),
        ("main", Word("main")),
        ("./tuned", Word("./tuned")),
        (":tuned", Word(":tuned")),
        ("HEAD@{1}", Word("HEAD@{1}")),
        ("digits/3", Word("digits/3")),
        ("digits@champion", Word("digits@champion")),
    ],
)
def test_the_form_says_what_can_be_meant(text: str, address: Address) -> None:
    assert parse_address(text) == address


def test_only_some_words_can_be_runs() -> None:
    assert Word("1fd643").may_be_run
    assert not Word("1fd64").may_be_run
    assert not Word("muddy-bee").may_be_run


@pytest.mark.parametrize(
    ("text", "asks"),
    [("tuned", False), ("main:tuned", False), ("muddy-bee", False), ("1fd643", True), ("models:/a/1", True)],
)
def test_mlflow_is_asked_for_some_only(text: str, asks: bool) -> None:
    assert asks_mlflow(parse_address(text)) == asks


@pytest.mark.parametrize(
    "text", ["models:/digits", "models:/digits@", "models:/digits/0", "models:/m-12ab", "", "  "]
)
def test_what_nothing_can_be_called_is_refused(text: str) -> None:
    with pytest.raises(PipelineError, match="does not name a"):
        parse_address(text)


def test_the_help_of_a_command_lists_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_address(
        parser, "--model", metavar="MODEL", default="best", role="the model to ask (default: %(default)s)"
    )
    assert parser.parse_args([]).model == NamedCandidate("best")
    printed = " ".join(parser.format_help().split())
    for form, meaning in GRAMMAR:
        assert f"{form} {meaning}" in printed


def test_the_readme_has_the_same_table(project: Path) -> None:
    readme = (project / "README.md").read_text(encoding="utf-8")
    rows = [
        f"| {', '.join(f'`{form}`' for form in forms.split(', '))} | {meaning} |"
        for forms, meaning in GRAMMAR
    ]
    assert "\n".join(["| model | what it names |", "| --- | --- |", *rows]) in readme
