"""What a stored range costs against the best one: wrong scales, outliers, coarse tensors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from engine.layer_errors.range_loss import MOST_IMAGES, RangeLoss

RANDOM = np.random.default_rng(5)
SHAPES = {
    "normal": RANDOM.normal(0, 1, (4, 20_000)),
    "relu": np.maximum(RANDOM.normal(0, 1, (4, 20_000)), 0),
    "few values": RANDOM.normal(0, 1, (4, 24)),
    # Mostly zeros and some large values: 15 dB even in the best range.
    "sparse": RANDOM.laplace(0, 1, (4, 20_000)) ** 3 * (RANDOM.random((4, 20_000)) < 0.02),
}


def loss_of(
    images: Iterable[np.ndarray], low: float, high: float, symmetric: bool = False
) -> float:
    """The loss of storing images in 8 bits from `low` to `high`."""
    loss = RangeLoss(symmetric)
    scale = (high - low) / 255
    for image in images:
        exact = image.astype(np.float32)
        loss.add(exact, (np.rint(np.clip(exact, low, high) / scale) * scale).astype(np.float32))
    assert loss.db is not None
    return loss.db


@pytest.mark.parametrize("shape", SHAPES)
def test_a_fitting_range_loses_little_and_one_four_times_too_small_or_large_much(
    shape: str,
) -> None:
    images = SHAPES[shape]
    low, high = float(images.min()), float(images.max())
    assert loss_of(images, low, high) < 6
    if shape != "sparse":  # where rare values decide, a large range is no loss
        assert loss_of(images, 4 * low, 4 * high) > 10
        assert loss_of(images, low / 4, high / 4) > 10


def test_one_image_beyond_the_range_is_no_wrong_range() -> None:
    images = SHAPES["normal"].copy()
    ends = float(images.min()), float(images.max())
    images[0, 0] = 50
    assert loss_of(images, *ends) < 6


def test_a_symmetric_range_is_compared_with_symmetric_ones() -> None:
    images = SHAPES["relu"]
    end = float(images.max())
    assert loss_of(images, -end, end) - loss_of(images, -end, end, symmetric=True) > 5


def test_a_tensor_of_zeros_has_no_loss() -> None:
    loss = RangeLoss()
    for _ in range(MOST_IMAGES + 3):
        loss.add(np.zeros((1, 8), np.float32), np.zeros((1, 8), np.float32))
    assert loss.db is None
