from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import optimize as scipy_optimize
from scipy import special as scipy_special
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from engine.common.stats import (
    is_chance_level,
    latency_percentiles,
    max_exceedances,
    median_interval,
    paired_difference,
    wilson_interval,
)
from engine.errors import InvalidRequest

COUNTS = [(0, 1), (1, 1), (0, 10), (10, 10), (3, 7), (803, 1000), (40_132, 50_000), (1, 50_000)]


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "n"), COUNTS)
def test_wilson_equals_statsmodels(successes: int, n: int, confidence: float) -> None:
    expected = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    low, high = wilson_interval(successes, n, confidence)
    assert (low, high) == pytest.approx(expected, abs=1e-12)
    assert 0.0 <= low <= successes / n <= high <= 1.0


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "n"), [(-1, 10), (11, 10), (1, 0)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        wilson_interval(successes, n)


def _pair(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    order = np.random.default_rng(0).permutation(a.size)
    return a[order], b[order]


CELLS = [
    (700, 60, 31, 209),
    (0, 1, 0, 0),
    (10, 0, 0, 5),
    (0, 7, 7, 0),
    (38_000, 3_211, 2_907, 5_882),
    (0, 25_000, 25_000, 0),
    (0, 50_000, 0, 0),
    (30_000, 12_000, 1, 7_999),
]


@pytest.mark.parametrize("cells", CELLS)
def test_paired_difference_equals_mcnemar_of_statsmodels(cells: tuple[int, ...]) -> None:
    both, only_a, only_b, neither = cells
    a, b = _pair(*cells)
    found = paired_difference(a, b)
    assert (found.n, found.both, found.only_a, found.only_b, found.neither) == (sum(cells), *cells)
    exact = mcnemar([[both, only_a], [only_b, neither]], exact=True).pvalue
    assert found.p_value == pytest.approx(exact, rel=1e-8, abs=1e-300)


def _score(difference: float, only_a: int, only_b: int, n: int) -> float:
    """Of a true difference: its likeliest shares are found by numbers, not by Tango's formula."""

    def unlikelihood(share: float) -> float:
        shares = (share, share + difference, 1 - 2 * share - difference)
        return -float(scipy_special.xlogy([only_a, only_b, n - only_a - only_b], shares).sum())

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    best = scipy_optimize.minimize_scalar(
        unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-13}
    )
    variance = n * (2 * best.x + difference - difference**2)
    return (only_b - only_a - n * difference) / math.sqrt(variance)


@pytest.mark.parametrize("cells", [CELLS[0], CELLS[3], CELLS[4], (180, 6, 2, 12), (30, 4, 0, 6)])
def test_the_ends_of_the_paired_interval_have_the_score_of_its_confidence(
    cells: tuple[int, ...],
) -> None:
    found = paired_difference(*_pair(*cells), confidence=0.9)
    z = scipy_stats.norm.ppf(0.95)
    assert found.low < found.difference < found.high
    assert _score(found.low, cells[1], cells[2], found.n) == pytest.approx(z, rel=1e-4)
    assert _score(found.high, cells[1], cells[2], found.n) == pytest.approx(-z, rel=1e-4)


def test_a_paired_interval_of_the_literature() -> None:
    """Tango's interval of 36, 12, 2, 0 is 0.0611 to 0.3447."""
    found = paired_difference(*_pair(36, 2, 12, 0))
    assert (found.low, found.high) == pytest.approx((0.0611, 0.3447), abs=5e-5)


@pytest.mark.parametrize("n", [1, 200, 50_000])
def test_where_nothing_changes_the_interval_has_a_width_all_the_same(n: int) -> None:
    found = paired_difference(*_pair(n, 0, 0, 0))
    z = scipy_stats.norm.ppf(0.975)
    assert (found.low, found.high) == pytest.approx((-(z**2) / (n + z**2), z**2 / (n + z**2)))


def test_on_many_images_the_interval_is_that_of_the_per_image_differences() -> None:
    a, b = _pair(38_000, 3_211, 2_907, 5_882)
    found = paired_difference(a, b)
    per_image = b.astype(float) - a.astype(float)
    half = scipy_stats.norm.ppf(0.975) * per_image.std() / math.sqrt(a.size)
    ends = (per_image.mean() - half, per_image.mean() + half)
    assert (found.low, found.high) == pytest.approx(ends, rel=2e-3)


def test_a_loss_beyond_the_one_sided_limit_is_as_rare_as_said() -> None:
    """Over every outcome on 200 images, 4 in 100 of which get worse and 2 in 100 better."""
    n, lost, gained = 200, 0.04, 0.02
    missed = 0.0
    for only_a in range(30):
        for only_b in range(24):
            found = paired_difference(
                *_pair(n - only_a - only_b, only_a, only_b, 0), confidence=0.9
            )
            if -found.low < lost - gained:
                counts = (only_a, only_b, n - only_a - only_b)
                missed += scipy_stats.multinomial.pmf(counts, n, (lost, gained, 1 - lost - gained))
    assert 0.03 < missed < 0.06


def test_paired_difference_turns_its_sign_when_a_and_b_change_places() -> None:
    a, b = _pair(700, 60, 31, 209)
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert one.difference == -other.difference < 0
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.p_value == other.p_value


def test_pairing_sees_what_two_intervals_cannot() -> None:
    a, b = _pair(790, 13, 1, 196)
    low_a, _ = wilson_interval(int(a.sum()), a.size)
    _, high_b = wilson_interval(int(b.sum()), b.size)
    found = paired_difference(a, b)
    assert high_b > low_a
    assert found.high < 0
    assert found.p_value < 0.01


@pytest.mark.parametrize(("size_a", "size_b"), [(3, 4), (0, 0)])
def test_paired_difference_needs_the_same_images(size_a: int, size_b: int) -> None:
    with pytest.raises(InvalidRequest, match=f"{size_a} and {size_b} images"):
        paired_difference(np.zeros(size_a, bool), np.zeros(size_b, bool))


def test_paired_difference_takes_no_scores_for_correctness() -> None:
    with pytest.raises(TypeError):
        paired_difference(np.array([0.9, 0.1]), np.array([True, False]))


def test_latency_percentiles_equal_scipy_and_withhold_p99_under_100_samples() -> None:
    samples = np.random.default_rng(1).lognormal(1.0, 0.6, 100)
    found = latency_percentiles(samples.tolist())
    assert found["mean"] == pytest.approx(samples.mean())
    for name, share in {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}.items():
        assert found[name] == pytest.approx(scipy_stats.mstats.mquantiles(samples, share, 1, 1)[0])
    assert latency_percentiles(samples[:99])["p99"] is None


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [math.inf]])
def test_samples_must_be_finite(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        latency_percentiles(samples)
    with pytest.raises(ValueError, match="finite"):
        median_interval(samples)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [6, 7, 8, 20, 33, 100, 501, 10_000])
def test_median_interval_is_the_narrowest_that_keeps_the_confidence(
    n: int, confidence: float
) -> None:
    low, high = median_interval(np.random.default_rng(n).permutation(n), confidence)
    rank = int(low)
    assert high == n - 1 - rank
    narrower = 1 - 2 * scipy_stats.binom.cdf(rank + 1, n, 0.5)
    assert narrower < confidence
    if rank:
        assert 1 - 2 * scipy_stats.binom.cdf(rank, n, 0.5) >= confidence


@pytest.mark.parametrize("samples", [[5.0], [5.0, 3.0], [5.0, 3.0, 4.0, 9.0, 1.0]])
def test_median_interval_of_few_samples_is_their_range(samples: list[float]) -> None:
    assert median_interval(samples) == (min(samples), max(samples))


def test_median_interval_covers_the_true_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    intervals = [median_interval(rng.exponential(1.0, 25)) for _ in range(2000)]
    covered = sum(low <= math.log(2) <= high for low, high in intervals)
    assert covered / len(intervals) >= 0.94


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("n", [100, 1000, 50_000])
def test_at_chance_is_the_binomial_test_of_scipy(n: int, classes: int) -> None:
    mean = n // classes
    picks = random.Random(n).sample(range(n + 1), 20)
    for successes in {0, 1, 2, 3, 4, 5, 6, mean, mean + 1, n, *picks}:
        tail = scipy_stats.binomtest(successes, n, 1 / classes, alternative="greater").pvalue
        assert is_chance_level(successes, n, classes) == (tail > 0.001), successes


def test_a_shifted_class_order_is_at_chance_and_a_poor_model_is_not() -> None:
    assert is_chance_level(3, 1000, 1000)
    assert not is_chance_level(361, 1000, 1000)
    assert not is_chance_level(20, 1000, 1000)


def test_at_chance_decides_nothing_under_100_images() -> None:
    assert not is_chance_level(0, 99, 1000)
    assert is_chance_level(0, 100, 1000)


@pytest.mark.parametrize(("successes", "n", "classes"), [(5, 4, 10), (-1, 4, 10), (1, 200, 1)])
def test_at_chance_refuses_what_is_no_score(successes: int, n: int, classes: int) -> None:
    with pytest.raises(ValueError, match="not an accuracy"):
        is_chance_level(successes, n, classes)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("n", [1, 44, 64, 100, 459, 662, 2048, 24_576])
def test_most_over_is_the_binomial_quantile(n: int, share: float) -> None:
    most = max_exceedances(n, share, 0.99)
    below = scipy_stats.binom.cdf(most, n, share) if most >= 0 else 0.0
    assert below <= 0.01 < scipy_stats.binom.cdf(most + 1, n, share)


def test_most_over_of_nothing_decides_nothing() -> None:
    assert max_exceedances(0, 0.01) == -1
    with pytest.raises(ValueError, match="invalid arguments"):
        max_exceedances(10, 0.0)
