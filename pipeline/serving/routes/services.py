"""What all routes share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.serving.following import Following
from pipeline.serving.http.bodies import Admission
from pipeline.serving.http.metrics import Metrics
from pipeline.serving.limits import Limits
from pipeline.serving.served_model import ModelSwitch


@dataclass
class Services:
    """The server's parts as routes see them; `samples` are image files by name."""

    limits: Limits
    switch: ModelSwitch
    admission: Admission
    metrics: Metrics
    following: Following
    samples: Mapping[str, Path]
