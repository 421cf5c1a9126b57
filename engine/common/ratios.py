"""Intervals of repeated measurements whose machine changes its speed meanwhile.

Two builds that are measured round by round are compared by the log ratio of each round; one build
alone by blocks of neighboring rounds, because rounds that follow each other are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

BLOCKS = 5
RESAMPLES = 200
MIN_BLOCK_ROUNDS = 4
"""Fewest rounds for an interval between rounds of one build."""
MIN_PAIRED_ROUNDS = 6
"""Fewest rounds for which a 95 % signed-rank interval exists."""


@dataclass(frozen=True, slots=True)
class SpeedRatio:
    """How many times faster one build is than another, with its 95 % interval.

    `paired`: from rounds that both were measured in; otherwise from different sessions, with the
    machine's own variation between sessions in the interval. `low`, `high` and `p_value` are None
    where too little was measured for an interval.
    """

    ratio: float
    low: float | None
    high: float | None
    p_value: float | None
    rounds: int
    paired: bool

    @property
    def significant(self) -> bool | None:
        """Whether the interval excludes a ratio of 1; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return not self.low <= 1.0 <= self.high

    @property
    def uncertainty(self) -> float:
        """Half the width of the interval, as a share of the faster of the two speeds.

        Infinite without an interval. A ratio of 0.36 from 0.34 to 0.38 has 0.02.
        """
        if self.low is None or self.high is None:
            return math.inf
        return min(1.0, self.ratio) * math.log(self.high / self.low) / 2


def paired_ratio(rates: Sequence[float], reference: Sequence[float]) -> SpeedRatio:
    """The ratio of two series of images/s, one pair for each round, in the order of the rounds.

    Estimate and interval are those of the signed-rank test of Wilcoxon (1945) on the log ratios:
    the median of their pairwise means (Hodges and Lehmann 1963), and the pairwise means between the
    exact critical ranks. A round in which the machine changed its speed between the two windows is
    an outlier in either direction, because the order within a round is random; it moves neither.
    Raises ValueError for series of different or no length.
    """
    if len(rates) != len(reference) or not len(rates):
        raise ValueError("a ratio needs as many rounds of both builds, and at least one")
    logs = np.log(np.asarray(rates, float)) - np.log(np.asarray(reference, float))
    first, second = np.triu_indices(logs.size)
    means = np.sort((logs[first] + logs[second]) / 2)
    ratio = math.exp(float(np.median(means)))
    rank = _critical_rank(logs.size)
    if rank == 0:
        return SpeedRatio(ratio, None, None, None, logs.size, paired=True)
    low, high = math.exp(float(means[rank - 1])), math.exp(float(means[-rank]))
    return SpeedRatio(ratio, low, high, _signed_rank_p(logs), logs.size, paired=True)


def unpaired_ratio(
    rate: float,
    reference: float,
    intervals: Sequence[tuple[float, float]],
    machine_spread: float | None,
) -> SpeedRatio:
    """The ratio of two figures of different sessions, in images/s.

    `intervals`: the 95 % interval of either figure within its session. `machine_spread`: standard
    deviation of the logarithm of the machine's own speed between sessions, None where unknown; the
    ratio has no interval then. Both sessions met the machine once, so it counts twice.
    """
    ratio = rate / reference
    if machine_spread is None:
        return SpeedRatio(ratio, None, None, None, 0, paired=False)
    within = sum((math.log(high / low) / (2 * Z95)) ** 2 for low, high in intervals)
    deviation = math.sqrt(within + 2 * machine_spread**2)
    p_value = 2 * NormalDist().cdf(-abs(math.log(ratio)) / deviation) if deviation else None
    factor = math.exp(Z95 * deviation)
    return SpeedRatio(ratio, ratio / factor, ratio * factor, p_value, 0, paired=False)


Z95 = NormalDist().inv_cdf(0.975)


@lru_cache(maxsize=256)
def _signed_rank_tail(n: int) -> np.ndarray:
    """P(W <= w) for w = 0 ... n (n + 1) / 2, of the signed-rank statistic of n pairs."""
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, n + 1):
        ways[rank:] = (ways[rank:] + ways[: ways.size - rank].copy()) / 2
        ways[:rank] /= 2
    return np.cumsum(ways)


def _critical_rank(n: int) -> int:
    """Number of the pairwise mean, from either end, that bounds a 95 % interval; 0: none does."""
    return int(np.searchsorted(_signed_rank_tail(n), 0.025, side="right"))


def _signed_rank_p(logs: np.ndarray) -> float:
    """Two-sided p value of the hypothesis that the log ratios are symmetric about 0."""
    kept = logs[logs != 0]
    if not kept.size:
        return 1.0
    order = np.argsort(np.abs(kept), kind="stable")
    positive = float(np.sum(np.arange(1, kept.size + 1)[kept[order] > 0]))
    smaller = min(positive, kept.size * (kept.size + 1) / 2 - positive)
    return min(1.0, 2 * float(_signed_rank_tail(kept.size)[int(smaller)]))


def block_intervals(
    rounds: int, figures: Callable[[np.ndarray], Sequence[float]], *, seed: int = 0
) -> list[tuple[float, float]] | None:
    """95 % intervals of positive figures over rounds; None under MIN_BLOCK_ROUNDS rounds.

    `figures` computes them from indices of rounds. Circular block bootstrap (Politis and Romano
    1992): blocks of a fifth of the rounds are drawn with replacement, so that rounds in which the
    machine was in one state stay together. The deviation of the log figure is scaled to Student's t
    with as many degrees of freedom as there are blocks, less one, because the percentiles of so few
    blocks are too narrow.
    """
    if rounds < MIN_BLOCK_ROUNDS:
        return None
    length = max(1, rounds // BLOCKS)
    blocks = rounds / length
    random = np.random.default_rng(seed)
    starts = random.integers(0, rounds, (RESAMPLES, math.ceil(blocks)))
    indices = ((starts[:, :, None] + np.arange(length)) % rounds).reshape(RESAMPLES, -1)
    drawn = np.log([figures(one[:rounds]) for one in indices])
    factor = student_t(round(blocks) - 1) * math.sqrt(blocks / (blocks - 1))
    widths = np.exp(factor * drawn.std(axis=0))
    values = np.asarray(figures(np.arange(rounds)), float)
    return [(float(v / w), float(v * w)) for v, w in zip(values, widths, strict=True)]


def student_t(freedom: int) -> float:
    """The 97.5 % quantile of Student's t (Cornish-Fisher expansion in Abramowitz 26.7.5)."""
    if freedom in _SMALL_T:
        return _SMALL_T[freedom]
    z = Z95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom ** (power + 1) for power, term in enumerate(terms))


_SMALL_T = {1: 12.706, 2: 4.303, 3: 3.182}
"""Where the expansion is not exact enough."""
