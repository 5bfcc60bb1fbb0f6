"""Text that fits its box."""

import pytest

from pipeline.reporting.slides.text_fitting import fitted, fitted_name, text_height, text_width


def test_a_line_is_as_wide_as_its_letters() -> None:
    """DejaVu Sans gives the letter m 0.974 of the size of the type, a space 0.318."""
    assert text_width("m", 10) == pytest.approx(9.74, abs=0.1)
    assert text_width("m m", 10) == pytest.approx(22.66, abs=0.1)


def test_east_asian_characters_are_as_wide_as_high() -> None:
    assert text_width("猫狗", 10) == pytest.approx(20)
    assert text_width("猫m", 10) == pytest.approx(19.74, abs=0.1)


def test_lines_break_between_words() -> None:
    """Two words of 9.74 points and a space of 3.18 need 22.66 points; a line is 12 points high."""
    assert text_height(["m m"], 23, 10) == pytest.approx(12 + 5)
    assert text_height(["m m"], 22, 10) == pytest.approx(24 + 5)
    assert text_height(["m", "m"], 23, 10) == pytest.approx(24 + 10)


def test_a_word_longer_than_the_line_takes_several() -> None:
    assert text_height(["m" * 10], 50, 10) == pytest.approx(24 + 5)


def test_the_largest_type_that_fits_is_chosen() -> None:
    """At 20 points two lines of 24 points and 10 after them, 58 in all; at 10 points one line."""
    assert fitted(["m m"], 40, 60, 20, 8)[0] == 20
    assert fitted(["m m"], 40, 57, 20, 8)[0] < 20


def test_what_does_not_fit_at_all_ends_in_an_ellipsis() -> None:
    size, shown = fitted(["one two three four", "five"], 60, 30, 20, 12)
    assert size == 12
    assert shown[-1].endswith("…")
    assert text_height(shown, 60, 12) <= 30
    assert fitted(["word"], 60, 1, 20, 12) == (12, [])


def test_long_names_keep_their_beginning_and_end() -> None:
    name = fitted_name("a rather long name of a class, number 57", 100, 11)
    assert name.startswith("a ra")
    assert name.endswith("57")
    assert text_width(name, 11) <= 100
