"""Numbers and lists as people read them."""

import pytest

from pipeline.reporting import wording

SPACE = "\u00a0"


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [(0.9341, 1, "93.4"), (0.99414, 2, "99.41"), (1.0, 1, "100.0"), (0.0, 0, "0")],
)
def test_percent(share: float, decimals: int, text: str) -> None:
    assert wording.percent(share, decimals) == f"{text}{SPACE}%"


@pytest.mark.parametrize(
    ("difference", "text"), [(0.0123, "+1.2"), (-0.0123, "−1.2"), (0.0, "0.0"), (-0.0001, "0.0")]
)
def test_a_difference_has_a_sign_unless_it_rounds_to_nothing(difference: float, text: str) -> None:
    assert wording.points(difference) == f"{text}{SPACE}points"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (295_968, "295,968"),
        (999_499, "999,499"),
        (999_500, f"1{SPACE}million"),
        (1_966_080, f"1.97{SPACE}million"),
        (118_219_168, f"118{SPACE}million"),
        (4_100_000_000, f"4.1{SPACE}billion"),
    ],
)
def test_quantity(number: int, text: str) -> None:
    assert wording.quantity(number) == text


@pytest.mark.parametrize(
    ("p_value", "text"), [(0.0004, "p < 0.001"), (0.001, "p = 0.001"), (1.0, "p = 1.000")]
)
def test_p_values(p_value: float, text: str) -> None:
    assert wording.probability(p_value).replace(SPACE, " ") == text


@pytest.mark.parametrize(
    ("items", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists(items: list[str], text: str) -> None:
    assert wording.listed(items) == text


def test_long_lists_are_cut() -> None:
    assert wording.several(["a", "b", "c"], 3) == "a, b and c"
    assert wording.several(["a", "b", "c", "d"], 2) == "a, b and 2 more"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.07914753532162665, "0.07915"),
        (1e-5, "1e-05"),
        (True, "yes"),
        (None, "off"),
        ([128, 64], "128, 64"),
        ([], "none"),
        ("sgd", "sgd"),
    ],
)
def test_hyperparameters(value: object, text: str) -> None:
    assert wording.compact(value) == text


def test_one_is_singular() -> None:
    assert wording.counted(1, "class", "classes") == f"1{SPACE}class"
    assert wording.counted(1200, "image") == f"1,200{SPACE}images"


def test_an_area_is_called_perfect_only_where_it_is() -> None:
    assert wording.area_text(1.0) == "1.000"
    assert wording.area_text(0.99996) == ">\u00a00.999"
    assert wording.area_text(0.8514) == "0.851"
