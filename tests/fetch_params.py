"""Params of fetch for a folder of images, for tests that care for few of them."""

from typing import Any

from pipeline.params.fetch import FetchParams
from pipeline.sources.bounds import USUAL

_VALUES: dict[str, Any] = {
    "dataset": "folder",
    "location": None,
    "name_encoding": None,
    "labels": None,
    "label_columns": None,
    "label_pattern": None,
    "class_names": {},
    "max_rejected": 0.05,
    "min_images_per_class": 1,
    "limits": USUAL,
}


def fetch_params(**changes: Any) -> FetchParams:
    return FetchParams.model_validate({**_VALUES, **changes})
