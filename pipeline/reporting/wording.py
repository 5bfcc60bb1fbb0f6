"""Numbers and lists as people read them."""

from collections.abc import Sequence

from pipeline.foundation.texts import first_few

SPACE = "\u00a0"
"""Between a number and its unit, where no line may break."""

MINUS = "\u2212"

_MANY_IMAGES = 5_000
"""From so many images on, a hundredth of a percent is more than half an image."""

_CANDIDATES = {"baseline": "Baseline", "transfer": "Transfer", "tuned": "Tuned"}
_REFERENCES = {"majority_class": "Majority class", "logistic_regression": "Logistic regression"}


def percent(share: float, decimals: int = 1) -> str:
    """0.9341 -> "93.4 %"; what is less than all is never rounded up to "100.0 %"."""
    if share < 1.0:
        share = min(share, 1.0 - 10.0 ** -(decimals + 2))
    return f"{100 * share:.{decimals}f}{SPACE}%"


def accuracy_decimals(images: int) -> int:
    """Decimals of a percentage that `images` images can justify."""
    return 2 if images >= _MANY_IMAGES else 1


def points(difference: float, decimals: int = 1) -> str:
    """A difference of two shares, signed, in percentage points: 0.012 -> "+1.2 points"."""
    return f"{signed(100 * difference, decimals)}{SPACE}points"


def signed(value: float, decimals: int) -> str:
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else MINUS) + text


def whole(number: int) -> str:
    """12345 -> "12,345"."""
    return f"{number:,}"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """1 -> "1 image", 2 -> "2 images"."""
    return f"{whole(number)}{SPACE}{singular if number == 1 else plural or singular + 's'}"


def quantity(number: float) -> str:
    """A large count in three digits: 1966080 -> "1.97 million"."""
    for size, unit in ((1e9, "billion"), (1e6, "million")):
        if number >= 0.9995 * size:
            return f"{number / size:.3g}{SPACE}{unit}"
    return whole(round(number))


def probability(p_value: float) -> str:
    """A p-value with its sign: "p = 0.031", "p < 0.001"."""
    return f"p{SPACE}<{SPACE}0.001" if p_value < 0.001 else f"p{SPACE}={SPACE}{p_value:.3f}"


def area_text(area: float) -> str:
    """An area under a curve, which reads 1.000 only where it is perfect: 0.99996 -> "> 0.999"."""
    text = f"{area:.3f}"
    return f">{SPACE}0.999" if text == "1.000" and area < 1.0 else text


def number(text: str) -> float | None:
    """The number that a text is: "0.1" -> 0.1, "sgd" -> None."""
    try:
        return float(text)
    except ValueError:
        return None


def compact(value: object) -> str:
    """A hyperparameter's value: 0.05000 -> "0.05", True -> "yes", [64, 128] -> "64, 128"."""
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(compact(item) for item in value) or "none"
    return str(value)


def listed(items: Sequence[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def quoted(name: str) -> str:
    """A class name inside a sentence, where a name such as 9 would pass for a number."""
    return f"“{name}”"


def several(items: Sequence[str], most: int) -> str:
    """At most `most` of the items, and how many more there are."""
    return listed(items) if len(items) <= most else first_few(items, most)


def shape(sizes: Sequence[int]) -> str:
    """(32, 32, 3) -> "32×32×3"."""
    return "×".join(str(size) for size in sizes)


def candidate_title(candidate: str) -> str:
    return _CANDIDATES.get(candidate, candidate)


def reference_title(reference: str) -> str:
    return _REFERENCES.get(reference, reference.replace("_", " ").capitalize())
