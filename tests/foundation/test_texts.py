"""Texts that have to fit."""

from typing import Literal

import pytest

from pipeline.foundation.texts import first_few, one_line, shortened


def test_the_first_few_and_how_many_more() -> None:
    names = ["a", "b", "c"]
    assert first_few(names) == first_few(names, 3) == "a, b, c"
    assert first_few(names, 2) == "a, b and 1 more"
    assert first_few(names, 1, "; ") == "a and 2 more"
    assert first_few([]) == ""


@pytest.mark.parametrize(
    ("cut", "shown"), [("start", "…345 of many"), ("middle", "number…many"), ("end", "number 1234…")]
)
def test_a_long_text_keeps_what_is_not_cut(cut: Literal["start", "middle", "end"], shown: str) -> None:
    assert shortened("number 12345 of many", 12, cut) == shown
    assert shortened("short", 5, cut) == "short"


def test_a_text_on_one_line() -> None:
    assert one_line("one\n  two three", 8) == "one two…"
