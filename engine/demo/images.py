"""Synthetic images of the demo; equal (label, seed) gives equal pixels on every machine.

Each image shows one large shape, its class, among smaller shapes and bars that are distractors.
For reproducibility, pixels depend only on uniform random numbers, basic arithmetic and square
roots in float32: no fonts, no resizing, no transcendental functions.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from engine.demo.shapes import SHAPES, Shape
from engine.demo.textures import random_texture, rotation, uniform

IMAGE_SIZE = 64
CLASS_NAMES: tuple[str, ...] = tuple(sorted(SHAPES))

# Preprocessing of the demo network: ((pixel / 255) - MEAN) / STD, RGB; no resize, no crop.
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)

MIN_CONTRAST = 0.1  # minimum share of the range from black to white that an image uses
FULL_RANGE = (0, IMAGE_SIZE)


@dataclass(frozen=True, slots=True)
class Split:
    """Images `first_seed` to `first_seed + per_class - 1` of every class."""

    name: str
    per_class: int
    first_seed: int

    @property
    def images(self) -> int:
        """The number of images of all classes."""
        return self.per_class * len(CLASS_NAMES)


EVALUATION = Split("evaluation", per_class=150, first_seed=0)
CALIBRATION = Split("calibration", per_class=16, first_seed=10_000)
TRAINING = Split("training", per_class=1_500, first_seed=1_000_000)
BUILTIN = {"demo": EVALUATION, "demo-calibration": CALIBRATION}
"""The splits of the built-in datasets, by dataset name."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Position of a shape: center and radius in pixels, rotation (cosine, sine), aspect ratio."""

    x: float
    y: float
    radius: float
    rotation: tuple[float, float]
    aspect: float


def draw_image(label: int, seed: int) -> np.ndarray:
    """An image of class `label`: uint8 (64, 64, 3), RGB; a pure function of its arguments."""
    rng = np.random.default_rng([label, seed])
    hardness = rng.random()  # from easy (0) to hard (1), as in most datasets
    background = _color(rng)
    canvas = np.empty((IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.float32)
    canvas[:] = background
    _blend_texture(rng, canvas, _near(rng, background, 0.5 * hardness), FULL_RANGE, FULL_RANGE)
    for _ in range(_count(rng, 3 * hardness)):
        _paint_fragment(rng, canvas)
    _paint_subject(rng, canvas, SHAPES[CLASS_NAMES[label]], background, hardness)
    for _ in range(_count(rng, 3 * hardness)):
        _paint_bar(rng, canvas)
    for _ in range(_count(rng, 2 * hardness)):
        _paint_fragment(rng, canvas)
    return _expose(rng, canvas, hardness)


def _count(rng: np.random.Generator, maximum: float) -> int:
    """A random integer from 0 to `maximum`, rounded."""
    return int(uniform(rng, 0.0, maximum) + 0.5)


def _color(rng: np.random.Generator) -> np.ndarray:
    return rng.random(3, dtype=np.float32)


def _near(rng: np.random.Generator, color: np.ndarray, reach: float) -> np.ndarray:
    offset = (rng.random(3, dtype=np.float32) - 0.5) * (2.0 * reach)
    return np.minimum(np.maximum(color + offset, 0.0), 1.0)


def _blend_texture(
    rng: np.random.Generator,
    area: np.ndarray,
    color: np.ndarray,
    columns: tuple[int, int],
    rows: tuple[int, int],
) -> None:
    x, y = _pixel_centers(columns, rows)
    area += (color - area) * random_texture(rng, x, y)[:, :, None]


def _pixel_centers(
    columns: tuple[int, int], rows: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (1, w) and (h, 1) of a window, in pixels from the image center."""
    middle = IMAGE_SIZE / 2 - 0.5
    x = np.arange(*columns, dtype=np.float32)[None, :] - middle
    y = np.arange(*rows, dtype=np.float32)[:, None] - middle
    return x, y


def _window(center: float, reach: float) -> tuple[int, int]:
    first = int(center - reach + IMAGE_SIZE / 2)
    last = int(center + reach + IMAGE_SIZE / 2) + 1
    return min(max(first, 0), IMAGE_SIZE), min(max(last, 0), IMAGE_SIZE)


def _paint(
    rng: np.random.Generator, canvas: np.ndarray, shape: Shape, at: Placement, color: np.ndarray
) -> None:
    """Paints a textured shape on the canvas, with antialiased edges about one pixel wide."""
    reach = at.radius * max(at.aspect, 1.0) * 1.5 + 1.0
    columns, rows = _window(at.x, reach), _window(at.y, reach)
    if columns[0] == columns[1] or rows[0] == rows[1]:
        return
    x, y = _pixel_centers(columns, rows)
    cosine, sine = at.rotation
    dx, dy = (x - at.x) * (1.0 / at.radius), (y - at.y) * (1.0 / at.radius)
    u, v = (cosine * dx + sine * dy) * (1.0 / at.aspect), cosine * dy - sine * dx
    distance = shape(u, v, rng.random()) * at.radius
    cover = np.minimum(np.maximum(0.5 - distance, 0.0), 1.0)[:, :, None]
    area = canvas[slice(*rows), slice(*columns)]
    fill = np.empty_like(area)
    fill[:] = color
    _blend_texture(rng, fill, _near(rng, color, 0.3), columns, rows)
    area += (fill - area) * cover


def _paint_subject(
    rng: np.random.Generator,
    canvas: np.ndarray,
    shape: Shape,
    background: np.ndarray,
    hardness: float,
) -> None:
    color = _color(rng)
    # The required distance is below 0.5, so some color always satisfies it.
    while abs(color - background).max() < 0.45 - 0.25 * hardness:
        color = _color(rng)
    at = Placement(
        x=uniform(rng, -10.0, 10.0),
        y=uniform(rng, -10.0, 10.0),
        radius=uniform(rng, 15.0, 24.0),
        rotation=rotation(rng),
        aspect=uniform(rng, 0.8, 1.25),
    )
    _paint(rng, canvas, shape, at, color)


def _paint_fragment(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """A small shape of a random class, as a distractor."""
    shape = SHAPES[CLASS_NAMES[int(rng.integers(len(CLASS_NAMES)))]]
    at = Placement(
        x=uniform(rng, -32.0, 32.0),
        y=uniform(rng, -32.0, 32.0),
        radius=uniform(rng, 4.0, 8.0),
        rotation=rotation(rng),
        aspect=uniform(rng, 0.7, 1.4),
    )
    _paint(rng, canvas, shape, at, _color(rng))


def _paint_bar(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """A straight bar across the image that occludes part of the subject."""
    at = Placement(
        x=uniform(rng, -20.0, 20.0),
        y=uniform(rng, -20.0, 20.0),
        radius=uniform(rng, 1.0, 3.0),
        rotation=rotation(rng),
        aspect=100.0,
    )
    _paint(rng, canvas, _bar, at, _color(rng))


def _bar(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    return np.maximum(np.abs(v), np.abs(u)) - (0.7 + 0.3 * proportion)


def _expose(rng: np.random.Generator, canvas: np.ndarray, hardness: float) -> np.ndarray:
    """Applies uneven light, blur, noise and contrast, and converts to 8-bit pixels."""
    x, y = _pixel_centers((0, IMAGE_SIZE), (0, IMAGE_SIZE))
    cosine, sine = rotation(rng)
    light = 1.0 + uniform(rng, 0.0, 0.4) * (cosine * x + sine * y) * (1.0 / 32.0)
    canvas = canvas * light[:, :, None]
    for _ in range(_count(rng, 2 * hardness)):
        canvas = _blur(canvas)
    grain = rng.random(canvas.shape, dtype=np.float32) - rng.random(canvas.shape, dtype=np.float32)
    canvas += grain * uniform(rng, 0.02, 0.02 + 0.2 * hardness)
    # Low-contrast images use few levels, which makes errors of low precision visible.
    contrast = uniform(rng, MIN_CONTRAST, 1.0)
    canvas = canvas * contrast + uniform(rng, 0.0, 1.0 - contrast)
    return np.minimum(np.maximum(canvas * 255.0 + 0.5, 0.0), 255.0).astype(np.uint8)


def _blur(canvas: np.ndarray) -> np.ndarray:
    """Binomial 1-2-1 blur in both directions; the border repeats its pixels."""
    padded = np.pad(canvas, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = padded[:, :-2] + 2.0 * padded[:, 1:-1] + padded[:, 2:]
    return (across[:-2] + 2.0 * across[1:-1] + across[2:]) * (1.0 / 16.0)


def write_split(
    split: Split, folder: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Writes `<folder>/<class name>/<00000>.png`; does nothing if the folder exists.

    The files are written to a temporary sibling folder that is renamed at the end, so `folder` is
    either absent or complete. `progress` receives (images written, total).
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write_images(split, working, progress)
        working.chmod(0o755)  # mkdtemp creates a private folder
        working.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        # Another process wrote the same split first.
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _write_images(split: Split, folder: Path, progress: Callable[[int, int], None] | None) -> None:
    total = split.per_class * len(CLASS_NAMES)
    for label, name in enumerate(CLASS_NAMES):
        (folder / name).mkdir()
        for index in range(split.per_class):
            pixels = draw_image(label, split.first_seed + index)
            Image.fromarray(pixels).save(folder / name / f"{index:05d}.png", compress_level=1)
            if progress is not None:
                progress(label * split.per_class + index + 1, total)
