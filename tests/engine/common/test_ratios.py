"""Intervals between rounds, against scipy and by their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from engine.common import ratios
from engine.common.ratios import block_intervals, paired_ratio, student_t, unpaired_ratio


@pytest.mark.parametrize("rounds", [6, 8, 13, 30])
def test_the_p_value_is_that_of_scipy(rounds: int) -> None:
    logs = np.random.default_rng(rounds).normal(0.05, 0.1, rounds)
    found = paired_ratio(np.exp(logs), np.ones(rounds))
    expected = scipy_stats.wilcoxon(logs, method="exact").pvalue
    assert found.p_value == pytest.approx(expected)


@pytest.mark.parametrize("rounds", [6, 9, 20])
def test_the_interval_is_that_of_the_test(rounds: int) -> None:
    """Shifted to either limit, the same differences are just significant, and not beyond it."""
    logs = np.random.default_rng(rounds).normal(0.1, 0.2, rounds)
    found = paired_ratio(np.exp(logs), np.ones(rounds))
    assert found.low is not None
    assert found.high is not None
    for limit, outward in ((found.low, -1), (found.high, 1)):
        inside, outside = (math.log(limit) + sign * outward * 1e-9 for sign in (-1, 1))
        assert scipy_stats.wilcoxon(logs - inside, method="exact").pvalue > 0.05
        assert scipy_stats.wilcoxon(logs - outside, method="exact").pvalue <= 0.05


def test_the_estimate_is_the_median_of_pairwise_means() -> None:
    logs = np.array([0.0, 0.1, 0.4])
    means = [0.0, 0.05, 0.2, 0.1, 0.25, 0.4]
    found = paired_ratio(np.exp(logs), np.ones(3))
    assert math.log(found.ratio) == pytest.approx(np.median(means))
    assert (found.low, found.high, found.significant) == (None, None, None)


def test_a_round_in_which_the_machine_changed_moves_little() -> None:
    rates, reference = [110.0] * 12, [100.0] * 12
    rates[5] = 60.0
    found = paired_ratio(rates, reference)
    assert found.ratio == pytest.approx(1.1)
    assert found.significant


def test_equal_rounds_are_not_significant() -> None:
    found = paired_ratio([100.0] * 8, [100.0] * 8)
    assert (found.ratio, found.p_value, found.significant) == (1.0, 1.0, False)


@pytest.mark.parametrize("lengths", [(3, 2), (0, 0)])
def test_rounds_of_one_build_only_have_no_ratio(lengths: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="as many rounds"):
        paired_ratio([1.0] * lengths[0], [1.0] * lengths[1])


def test_across_sessions_the_machine_counts_twice() -> None:
    intervals = [(95.0, 105.0), (90.0, 110.0)]
    spread = 0.2
    found = unpaired_ratio(200.0, 100.0, intervals, spread)
    assert not found.paired
    within = sum((math.log(high / low) / (2 * 1.959964)) ** 2 for low, high in intervals)
    assert found.low is not None
    half = math.log(found.ratio / found.low)
    assert half == pytest.approx(1.959964 * math.sqrt(within + 2 * spread**2), rel=1e-6)
    assert unpaired_ratio(200.0, 100.0, intervals, None).low is None
    assert unpaired_ratio(200.0, 100.0, intervals, 0.0).uncertainty < found.uncertainty


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 30])
def test_student_t(freedom: int) -> None:
    assert student_t(freedom) == pytest.approx(scipy_stats.t.ppf(0.975, freedom), rel=4e-3)


def test_the_block_interval_covers_the_mean_of_dependent_rounds() -> None:
    covered = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        values = np.empty(40)
        values[0] = random.normal(0, 1)
        for place in range(1, 40):
            values[place] = 0.5 * values[place - 1] + random.normal(0, math.sqrt(0.75))
        rates = 100 + 5 * values
        found = block_intervals(40, lambda drawn, r=rates: [float(r[drawn].mean())])
        assert found is not None
        covered += found[0][0] <= 100 <= found[0][1]
    assert covered / 300 >= 0.90


def test_too_few_rounds_have_no_interval() -> None:
    assert block_intervals(ratios.MIN_BLOCK_ROUNDS - 1, lambda drawn: [1.0]) is None
    found = block_intervals(ratios.MIN_BLOCK_ROUNDS, lambda drawn: [1.0, 2.0])
    assert found is not None
    assert [value for pair in found for value in pair] == pytest.approx([1.0, 1.0, 2.0, 2.0])
