"""Uses a logged model as its users do: a program of its own, which knows nothing of the pipeline.

`model_use` starts it by its path, without the pipeline's package on Python's path, in a folder with

- `request.json`: `model` (an address such as models:/name/1), `repetitions`, and where encoded images
  lie (`encoded`: path, offsets and sizes, or null),
- `images.npy`: pixels, if there are any.

It leaves `answer.npz` there: the probabilities of both, the class names, and the time of each
repetition with the first of the pixel images, in milliseconds. Standard output is for progress alone.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

_WARM_UP = 5
_IMAGES_AT_ONCE = 2048


def main(folder: Path) -> None:
    progress = _private_output()
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    print("loading the model as its users do (TensorFlow takes about ten seconds)", file=progress, flush=True)
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(request["model"])
    answer: dict[str, Any] = {}
    pixels = folder / "images.npy"
    if pixels.exists():
        images = np.load(pixels)
        frame = model.predict(images)
        answer |= {"pixels": frame.to_numpy(), "classes": list(frame.columns)}
        answer["milliseconds"] = _times(model, images[:1], request["repetitions"])
    if request["encoded"] is not None:
        encoded = request["encoded"]
        ranges = list(zip(encoded["offsets"], encoded["sizes"], strict=True))
        parts = []
        with Path(encoded["path"]).open("rb") as file:
            for start in range(0, len(ranges), _IMAGES_AT_ONCE):
                if start:
                    print(f"{start:,} of {len(ranges):,} images predicted", file=progress, flush=True)
                part = ranges[start : start + _IMAGES_AT_ONCE]
                frame = model.predict([os.pread(file.fileno(), size, offset) for offset, size in part])
                parts.append(frame.to_numpy())
        answer |= {"encoded": np.concatenate(parts), "classes": list(frame.columns)}
    np.savez(folder / "answer.npz", **answer)


def _times(model: Any, image: np.ndarray, repetitions: int) -> list[float]:
    """Milliseconds that the model takes for one image, each time, after a warm-up."""
    times = []
    for _ in range(_WARM_UP + repetitions):
        began = time.perf_counter()
        model.predict(image)
        times.append(1000 * (time.perf_counter() - began))
    return times[_WARM_UP:]


def _private_output() -> Any:
    """Standard output for ourselves; what libraries print there goes where errors go."""
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return private


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Exception as error:
        (Path(sys.argv[1]) / "error.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise
