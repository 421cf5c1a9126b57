"""The drop estimated from margins: unbiased, and more precise than counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from engine.build.int8.accuracy_control.expected_drop import (
    GROUPS,
    MAX_CANDIDATES,
    T_ONE_SIDED_95,
    estimate_drop,
    score_margins,
)
from engine.build.int8.accuracy_control.search import FLOAT_SHARES

SHIFT, SCALE, SHRINK = -0.1, 0.4, 0.97
IMAGES, REPEATS = 200, 300


def drawn(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Margins of a model that is correct on four of five images, before and after quantization.

    Rounding moves some images ten times as far as others, as it does in networks.
    """
    before = np.where(
        random.random(count) < 0.5, random.normal(4, 2, count), random.normal(1, 1.5, count)
    )
    noise = random.normal(SHIFT, SCALE, count) * random.choice([0.2, 1.0, 2.0], count)
    return before, SHRINK * before + noise


@pytest.fixture(scope="module")
def truth() -> float:
    before, after = drawn(4_000_000, np.random.default_rng(0))
    return float(100 * ((before > 0).mean() - (after > 0).mean()))


def test_the_limit_covers_the_true_drop_and_the_estimate_is_closer_than_the_count(
    truth: float,
) -> None:
    random = np.random.default_rng(1)
    found, counted = [], []
    for _ in range(REPEATS):
        before, after = drawn(IMAGES, random)
        found.append(estimate_drop(before, after))
        counted.append(100 * ((before > 0).mean() - (after > 0).mean()))
    points = np.array([one.drop_pp for one in found])
    covered = np.mean([one.upper_limit_pp >= truth for one in found])
    assert truth > 0.5, "there is something to see"
    assert points.mean() == pytest.approx(truth, abs=0.15)
    assert points.std() < np.std(counted) / 2
    assert covered > 0.97


def test_equal_margins_have_no_drop() -> None:
    before = np.random.default_rng(2).normal(1, 2, 50)
    found = estimate_drop(before, before.copy())
    assert found.drop_pp == pytest.approx(0, abs=1e-9)
    assert found.upper_limit_pp == pytest.approx(0, abs=1e-9)


def test_one_image_gives_no_limit() -> None:
    assert estimate_drop(np.array([1.0]), np.array([1.0])).upper_limit_pp == 100


def test_margins_are_above_zero_exactly_where_argmax_is_right() -> None:
    random = np.random.default_rng(3)
    scores = random.integers(0, 3, (400, 4)).astype(np.float32)
    wanted = random.integers(0, 4, 400)
    margins = score_margins(scores, wanted)
    assert np.array_equal(margins > 0, scores.argmax(axis=1) == wanted)
    best_other = [np.delete(row, own).max() for row, own in zip(scores, wanted, strict=True)]
    assert np.allclose(margins, scores[np.arange(400), wanted] - best_other)


def test_the_limits_of_all_candidates_hold_at_once() -> None:
    assert len(FLOAT_SHARES) <= MAX_CANDIDATES
    assert pytest.approx(t.ppf(1 - 0.05 / MAX_CANDIDATES, GROUPS - 1), abs=1e-3) == T_ONE_SIDED_95
