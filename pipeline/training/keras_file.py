"""`.keras` files whose bytes follow from the model alone."""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras

from pipeline.foundation.files import atomic_path
from pipeline.foundation.workspace import NETWORK_FILE

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def save_stable(model: keras.Model, path: Path) -> None:
    """Save `model` so that equal models give equal bytes.

    It has not been compiled: Keras would save the optimizer's state as well.

    Keras writes the time of saving into the archive and memory addresses into its configuration
    (`shared_object_id`); here times are fixed and those ids counted from 1.
    """
    assert not model.compiled
    with tempfile.TemporaryDirectory() as folder, atomic_path(path) as temporary:
        raw = Path(folder) / NETWORK_FILE
        model.save(raw)
        with zipfile.ZipFile(raw) as source, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as target:
            for name in sorted(source.namelist()):
                content = source.read(name)
                if name == "metadata.json":
                    content = _json_bytes({**json.loads(content), "date_saved": "1980-01-01@00:00:00"})
                elif name == "config.json":
                    content = _json_bytes(_renumber(json.loads(content), {}))
                target.writestr(zipfile.ZipInfo(name, date_time=_ZIP_EPOCH), content)


def _renumber(value: Any, seen: dict[int, int]) -> Any:
    if isinstance(value, list):
        return [_renumber(item, seen) for item in value]
    if isinstance(value, dict):
        return {
            key: seen.setdefault(item, len(seen) + 1) if key == "shared_object_id" else _renumber(item, seen)
            for key, item in value.items()
        }
    return value


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
