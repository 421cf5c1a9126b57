"""Agreement of two models on synthetic images and on random inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from engine.preprocess import PreprocessSpec, preprocess

Scores = Callable[[np.ndarray], np.ndarray]
IMAGE_COUNT = 4
TOLERANCE = 1e-4  # relative; float32 rounding in a deep network stays ten times below


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two models over `inputs` inputs.

    `max_relative_difference`: max |difference| of scores over the max |score|; `same_top1`: number
    of inputs with the same top-1 class.
    """

    max_relative_difference: float
    same_top1: int
    inputs: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a manifest."""
        return asdict(self)


def probe_inputs(spec: PreprocessSpec) -> list[np.ndarray]:
    """Batches of IMAGE_COUNT and of 1 preprocessed synthetic images, and of 2 random inputs."""
    from engine.demo.images import draw_image

    pictures = [Image.fromarray(draw_image(label, seed=7)) for label in range(IMAGE_COUNT)]
    images = np.stack([preprocess(p.resize((320, 240)), spec) for p in pictures])
    random = np.random.default_rng(0).standard_normal((2, *images.shape[1:]))
    return [images, images[:1], random.astype(np.float32)]


def compare(
    reference: Scores, candidate: Scores, inputs: list[np.ndarray], tolerance: float = TOLERANCE
) -> Agreement:
    """Runs both models on each batch. Top-1 ties within rounding count as the same class.

    Scores that are not finite, or have another shape, give an infinite difference.
    """
    worst, same, total = 0.0, 0, 0
    for batch in inputs:
        a, b = reference(batch), candidate(batch)
        total += len(batch)
        if a.shape != b.shape or not np.isfinite(b).all():
            worst = float("inf")
            continue
        scale = max(float(np.abs(a).max()), 1e-30)
        worst = max(worst, float(np.abs(a - b).max()) / scale)
        chosen = np.take_along_axis(a, b.argmax(1)[:, None], 1)[:, 0]
        same += int((a.max(1) - chosen <= 2 * tolerance * scale).sum())
    return Agreement(worst, same, total)
