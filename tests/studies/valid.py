"""A study's file as values, in which nothing is wrong."""

from typing import Any

VALID: dict[str, Any] = {
    "title": "Batch size",
    "question": "Which batch size?",
    "candidate": "baseline",
    "base": {"lr": 0.1},
    "reference": "usual",
    "settings": {"usual": {}, "small": {"batch_size": 8}},
    "seeds": [0, 1],
    "budget_minutes": None,
}
