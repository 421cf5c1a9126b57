"""The class that loses most: its interval holds for all classes at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from engine.common.stats import paired_difference
from engine.evaluation.per_image import NO_LABEL, PerImage
from engine.evaluation.worst_class import worst_class

PER_CLASS, CLASSES = 40, 10


def images(correct: np.ndarray, labeled: bool = True) -> PerImage:
    label = np.repeat(np.arange(CLASSES), PER_CLASS)
    n = len(label)
    return PerImage(
        image=np.arange(n),
        label=label if labeled else np.full(n, NO_LABEL),
        rank=np.where(correct, 0, 3),
    )


def test_the_worst_class_has_an_interval_over_all_classes() -> None:
    first = np.ones(CLASSES * PER_CLASS, bool)
    second = first.copy()
    second[3 * PER_CLASS : 3 * PER_CLASS + 12] = False
    second[5 * PER_CLASS : 5 * PER_CLASS + 4] = False
    found = worst_class(images(first), images(second))
    assert found is not None
    assert (found.label, found.images, found.classes) == (3, PER_CLASS, CLASSES)
    assert found.loss == pytest.approx(12 / 40)
    plain = paired_difference(np.ones(40, bool), np.arange(40) >= 12)
    assert found.low < -plain.high < found.loss < -plain.low < found.high
    assert found.low > 0
    assert "not significant" not in found.sentence("tench")
    assert found.sentence("tench").startswith("Worst class: tench, -30.0 pp on 40 images")


def test_noise_alone_is_rarely_significant() -> None:
    """All images flip alike in both directions: the worst of 10 classes is no finding."""
    random, found = np.random.default_rng(0), 0
    for _ in range(200):
        first, second = (random.random(CLASSES * PER_CLASS) < 0.8 for _ in range(2))
        worst = worst_class(images(first), images(second))
        found += worst is not None and worst.low > 0
    assert found / 200 <= 0.05 + 2 * norm.ppf(0.975) * np.sqrt(0.05 * 0.95 / 200) / 2


def test_no_class_is_named_where_none_loses_or_nothing_is_labeled() -> None:
    right = np.ones(CLASSES * PER_CLASS, bool)
    assert worst_class(images(right), images(right)) is None
    assert worst_class(images(right, labeled=False), images(~right, labeled=False)) is None
