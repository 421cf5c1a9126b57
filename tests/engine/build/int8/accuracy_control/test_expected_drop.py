"""The drop expected by margins: right where it can be known, and closer than counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from engine.build.int8.accuracy_control.expected_drop import (
    GROUPS,
    LOOKS,
    T_ONE_SIDED_95,
    expected_drop,
    margins_of,
)
from engine.build.int8.accuracy_control.search import SHARES

SHIFT, SCALE, SHRINK = -0.1, 0.4, 0.97
IMAGES, REPEATS = 200, 300


def drawn(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Margins of a network that is right on four of five images, and what rounding makes of them.

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
        found.append(expected_drop(before, after))
        counted.append(100 * ((before > 0).mean() - (after > 0).mean()))
    points = np.array([one.points for one in found])
    covered = np.mean([one.at_most >= truth for one in found])
    assert truth > 0.5, "there is something to see"
    assert points.mean() == pytest.approx(truth, abs=0.15)
    assert points.std() < np.std(counted) / 2
    assert covered > 0.97


def test_what_changes_nothing_costs_nothing() -> None:
    before = np.random.default_rng(2).normal(1, 2, 50)
    found = expected_drop(before, before.copy())
    assert found.points == pytest.approx(0, abs=1e-9)
    assert found.at_most == pytest.approx(0, abs=1e-9)


def test_one_image_says_nothing() -> None:
    assert expected_drop(np.array([1.0]), np.array([1.0])).at_most == 100


def test_margins_are_above_zero_exactly_where_argmax_is_right() -> None:
    random = np.random.default_rng(3)
    scores = random.integers(0, 3, (400, 4)).astype(np.float32)
    wanted = random.integers(0, 4, 400)
    margins = margins_of(scores, wanted)
    assert np.array_equal(margins > 0, scores.argmax(axis=1) == wanted)
    best_other = [np.delete(row, own).max() for row, own in zip(scores, wanted, strict=True)]
    assert np.allclose(margins, scores[np.arange(400), wanted] - best_other)


def test_the_limits_of_all_steps_of_a_search_hold_at_once() -> None:
    assert len(SHARES) <= LOOKS
    assert pytest.approx(t.ppf(1 - 0.05 / LOOKS, GROUPS - 1), abs=1e-3) == T_ONE_SIDED_95
