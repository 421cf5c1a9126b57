"""The confidence intervals and tests behind every figure that is shown; math and numpy only."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from engine.errors import InvalidRequest

P99_MIN_SAMPLES = 100
CHANCE_MIN_IMAGES = 100
CHANCE_LEVEL = 0.001
BISECTIONS = 50


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion, as fractions; (0, 1) for n = 0.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} is not a proportion")
    if n == 0:
        return 0.0, 1.0
    z = _two_sided_z(confidence)
    share = successes / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else center - half
    high = 1.0 if successes == n else center + half
    return low, high


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Paired comparison of two evaluations a and b on the same n images.

    `difference`: accuracy of b minus accuracy of a, with its interval (low, high), as fractions.
    `both`, `only_a`, `only_b`, `neither`: numbers of images that are correct in these.
    """

    n: int
    both: int
    only_a: int
    only_b: int
    neither: int
    difference: float
    low: float
    high: float
    p_value: float


def paired_difference(
    correct_a: np.ndarray, correct_b: np.ndarray, confidence: float = 0.95
) -> PairedDifference:
    """Compare two evaluations image by image; both arrays are (n,) booleans in the same order.

    The interval is the score interval of Tango (1998): it keeps its coverage where few images
    change, and has a width even where none does. p_value: McNemar's exact two-sided binomial test.
    Raises InvalidRequest when the arrays have different lengths or are empty.
    """
    a, b = np.asarray(correct_a), np.asarray(correct_b)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise InvalidRequest(
            f"Evaluations of {a.size} and {b.size} images cannot be compared pairwise; "
            "compare two evaluations of the same images."
        )
    if a.dtype != np.bool_ or b.dtype != np.bool_:
        raise TypeError("paired_difference takes boolean arrays: whether image i is correct")
    n = a.size
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(~a & b))
    both = int(np.sum(a & b))
    difference = (only_b - only_a) / n
    z = _two_sided_z(confidence)
    return PairedDifference(
        n=n,
        both=both,
        only_a=only_a,
        only_b=only_b,
        neither=n - both - only_a - only_b,
        difference=difference,
        low=-_difference_upper_limit(only_a, only_b, n, z),
        high=_difference_upper_limit(only_b, only_a, n, z),
        p_value=min(1.0, 2 * _lower_tail(min(only_a, only_b), only_a + only_b)),
    )


def _difference_upper_limit(more: int, fewer: int, n: int, z: float) -> float:
    """Upper limit of the difference (more - fewer) / n: where the score statistic reaches z.

    Tango (1998), "Equivalence test and confidence interval for the difference in proportions for
    the paired-sample design", Statistics in Medicine 17, 891-908.
    """
    observed = (more - fewer) / n

    def beyond(difference: float) -> bool:
        share = _constrained_share(more, fewer, n, difference)
        variance = n * (2 * share + difference * (1 - difference))
        return (difference - observed) * n > z * math.sqrt(max(variance, 0.0))

    low, high = observed, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return (low + high) / 2


def _constrained_share(more: int, fewer: int, n: int, difference: float) -> float:
    """Maximum likelihood share of images that change against `difference`, if that is true."""
    b = (2 * n - more + fewer) * difference - more - fewer
    c = -fewer * difference * (1 - difference)
    return (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)


def latency_percentiles(samples_ms: Sequence[float] | np.ndarray) -> dict[str, float | None]:
    """Mean, p50, p90, p95 and p99 (numpy's linear method) of latencies in milliseconds.

    p99 is None under 100 samples, where it would be the maximum.
    """
    samples = _finite_samples(samples_ms)
    p50, p90, p95, p99 = (float(x) for x in np.percentile(samples, [50, 90, 95, 99]))
    return {
        "mean": float(samples.mean()),
        "p50": p50,
        "p90": p90,
        "p95": p95,
        "p99": p99 if samples.size >= P99_MIN_SAMPLES else None,
    }


def median_interval(
    samples: Sequence[float] | np.ndarray, confidence: float = 0.95
) -> tuple[float, float]:
    """Distribution-free interval of the median from order statistics, in the samples' unit.

    The interval between the (l+1)-th smallest and (l+1)-th largest sample covers the median with
    probability 1 - 2 P(B <= l), B ~ Binomial(n, 1/2); l is the largest one with at least
    `confidence`. With too few samples for any l (under 6 at 95 %): the minimum and maximum.
    """
    ordered = np.sort(_finite_samples(samples))
    n = ordered.size
    tail = (1 - confidence) / 2
    fitting = bisect_right(range(n // 2), tail, key=lambda count: _lower_tail(count, n))
    rank = max(0, fitting - 1)
    return float(ordered[rank]), float(ordered[n - 1 - rank])


def max_exceedances(n: int, share: float, confidence: float = 0.99) -> int:
    """The largest number of `n` samples over a limit that still shows, with `confidence`, that at
    most `share` of all samples are over it; -1 where `n` is too small for a verdict.

    It is the largest t with P(X <= t) <= 1 - confidence for X ~ Binomial(n, share): early stopping
    as in MLPerf Inference (loadgen/early_stopping.cc, tolerance 0).
    """
    if n < 0 or not 0 < share < 1:
        raise ValueError(f"invalid arguments: {n} samples, share {share}")
    fitting = bisect_right(
        range(n), 1 - confidence, key=lambda count: _upper_tail(n - count, n, 1 - share)
    )
    return fitting - 1


def is_chance_level(successes: int, n: int, classes: int) -> bool:
    """Whether an accuracy is at chance level: P(X >= successes) > 0.001.

    Exact one-sided binomial test with X ~ Binomial(n, 1 / classes). Always False under 100 images.
    """
    if classes < 2 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} images with {classes} classes is not an accuracy")
    if n < CHANCE_MIN_IMAGES:
        return False
    return _upper_tail(successes, n, 1 / classes) > CHANCE_LEVEL


def _two_sided_z(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _finite_samples(samples: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(samples, dtype=np.float64).ravel()
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError("samples must be finite numbers, at least one")
    return values


def _upper_tail(k: int, n: int, p: float) -> float:
    """P(X >= k) for X ~ Binomial(n, p): the first term times a sum of products of ratios.

    Above the mean every ratio is below 1, so that there is no cancellation; at or below the mean
    the complement is computed, which is then the smaller probability.
    """
    if k <= 0:
        return 1.0
    if k <= n * p:
        return 1.0 - _upper_tail(n - k + 1, n, 1 - p)
    j = np.arange(k, n, dtype=np.float64)
    ratios = (n - j) / (j + 1) * (p / (1 - p))
    return math.exp(_log_pmf(k, n, p)) * (1.0 + float(np.cumprod(ratios).sum()))


def _lower_tail(k: int, n: int) -> float:
    """P(X <= k) for X ~ Binomial(n, 1/2), by symmetry."""
    return _upper_tail(n - k, n, 0.5)


def _log_pmf(k: int, n: int, p: float) -> float:
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choose + k * math.log(p) + (n - k) * math.log1p(-p)
