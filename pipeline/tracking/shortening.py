"""Texts that have to fit: into a column of MLflow's database, or into a line."""


def shortened(text: str, longest: int) -> str:
    """The beginning of a text that has more than `longest` characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def one_line(text: str, longest: int) -> str:
    """The same on one line."""
    return shortened(" ".join(text.split()), longest)
