"""Draws samples/: digits as a hand would write them, in the look of scikit-learn's.

    python -m tests.serving.draw_samples

Strokes are drawn by points between 0 and 1 (right, down), their ink is counted in 8x8 blocks, as it was for
the data set (0 to 16 each), and the 8x8 gray levels are enlarged.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

Stroke = list[tuple[float, float]]

_BLOCKS, _LEVELS = 8, 16
_CANVAS = 320
_PEN = 0.18
_FILE_SIDE = 64


def _arc(center: tuple[float, float], radius: tuple[float, float], start: float, end: float) -> Stroke:
    """Points of an ellipse; degrees go clockwise from the right."""
    angles = [math.radians(start + (end - start) * step / 24) for step in range(25)]
    return [
        (center[0] + radius[0] * math.cos(angle), center[1] + radius[1] * math.sin(angle)) for angle in angles
    ]


DIGITS: dict[str, list[Stroke]] = {
    "0": [_arc((0.5, 0.5), (0.25, 0.41), 0, 360)],
    "1": [[(0.36, 0.24), (0.56, 0.08), (0.53, 0.92)]],
    "2": [[*_arc((0.48, 0.3), (0.22, 0.21), 190, 390), (0.3, 0.9), (0.76, 0.88)]],
    "3": [[*_arc((0.46, 0.29), (0.22, 0.2), 200, 440), *_arc((0.46, 0.7), (0.25, 0.21), 275, 510)]],
    "4": [[(0.46, 0.08), (0.22, 0.58), (0.8, 0.56)], [(0.6, 0.36), (0.54, 0.93)]],
    "5": [[(0.72, 0.1), (0.34, 0.1), (0.32, 0.44), *_arc((0.45, 0.66), (0.25, 0.24), 260, 510)]],
    "6": [[(0.58, 0.07), (0.36, 0.36), *_arc((0.5, 0.68), (0.21, 0.22), 180, 540)]],
    "7": [[(0.26, 0.1), (0.76, 0.1), (0.46, 0.92)], [(0.38, 0.5), (0.7, 0.48)]],
    "8": [_arc((0.5, 0.29), (0.2, 0.2), 0, 360), _arc((0.5, 0.7), (0.23, 0.21), 0, 360)],
    "9": [_arc((0.5, 0.31), (0.21, 0.22), 0, 360), [(0.71, 0.3), (0.68, 0.62), (0.52, 0.92)]],
}


def draw(strokes: list[Stroke]) -> Image.Image:
    """White on black, RGB."""
    ink = Image.new("L", (_CANVAS, _CANVAS))
    pencil = ImageDraw.Draw(ink)
    for stroke in strokes:
        points = [(_CANVAS * right, _CANVAS * down) for right, down in stroke]
        pencil.line(points, fill=255, width=round(_PEN * _CANVAS), joint="curve")
        for right, down in (points[0], points[-1]):
            radius = _PEN * _CANVAS / 2
            pencil.ellipse((right - radius, down - radius, right + radius, down + radius), fill=255)
    blocks = np.asarray(ink.resize((_BLOCKS, _BLOCKS), Image.Resampling.BOX)) / 255
    counted = np.round(np.round(blocks * _LEVELS) * 255 / _LEVELS).astype(np.uint8)
    enlarged = Image.fromarray(counted).resize((_FILE_SIDE, _FILE_SIDE), Image.Resampling.BILINEAR)
    return enlarged.convert("RGB")


def main() -> None:
    folder = Path(__file__).parents[2] / "samples"
    folder.mkdir(exist_ok=True)
    for digit, strokes in DIGITS.items():
        draw(strokes).save(folder / f"digit-{digit}.png", optimize=True)


if __name__ == "__main__":
    main()
