"""Accuracy shown within a limit: Tango's interval, Holm, the error rate among many builds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from engine.common.noninferiority import (
    ALPHA,
    drop_z,
    holm,
    more_images_needed,
    p_values,
    share_z,
    shown_within,
    unpaired_drop_z,
)
from engine.common.stats import paired_difference, wilson_interval

Z = 1.959963984540054
LIMIT, IMAGES, CHANGED = 0.01, 2000, 0.06
SIMULATIONS = 4000


def arrays(lost: int, gained: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    index = np.arange(n)
    return index < n - gained, (index < n - gained - lost) | (index >= n - gained)


@pytest.mark.parametrize(("lost", "gained", "n"), [(20, 15, 1000), (3, 0, 400), (60, 61, 900)])
def test_the_statistic_inverts_the_paired_interval(lost: int, gained: int, n: int) -> None:
    low = paired_difference(*arrays(lost, gained, n)).low
    assert float(drop_z(lost, gained, n, -low)) == pytest.approx(Z, abs=1e-6)


def test_the_statistic_of_a_share_inverts_the_wilson_interval() -> None:
    low, _ = wilson_interval(803, 1000)
    assert float(share_z(803, 1000, low)) == pytest.approx(Z)


def test_holm_is_the_closure_of_bonferroni() -> None:
    for p in np.random.default_rng(3).uniform(size=(20, 6)) ** 3:
        subsets = [s for size in range(1, 7) for s in combinations(range(6), size)]
        closed = [
            max(min(1.0, len(s) * min(p[j] for j in s)) for s in subsets if i in s)
            for i in range(6)
        ]
        assert holm(p) == pytest.approx(closed)


def test_untested_hypotheses_count() -> None:
    assert holm([0.01, 0.02], family=10) == pytest.approx([0.1, 0.18])
    assert not any(one.shown for one in shown_within([2.0, 2.1], family=60))
    assert shown_within([2.0], family=1)[0].shown


def false_passes(builds: int) -> tuple[float, float]:
    """Share of simulations in which any of `builds` passes, each just outside the limit.

    With Holm over all of them, and naively: each by its own 95 % interval.
    """
    drop = LIMIT + 1e-4
    shares = [(CHANGED + drop) / 2, (CHANGED - drop) / 2]
    random = np.random.default_rng(7)
    counts = random.multinomial(IMAGES, [*shares, 1 - CHANGED], size=(SIMULATIONS, builds))
    p = p_values(drop_z(counts[..., 0], counts[..., 1], IMAGES, LIMIT))
    together = (holm(p) <= ALPHA).any(axis=1).mean()
    return float(together), float((p <= ALPHA).any(axis=1).mean())


def test_one_pair_falsely_passes_in_at_most_five_percent() -> None:
    together, naive = false_passes(1)
    assert together == naive <= 0.05


def test_a_recommendation_among_sixty_falsely_passes_in_at_most_five_percent() -> None:
    together, naive = false_passes(60)
    assert together <= 0.05
    assert naive > 0.5, "the best of sixty by its own interval is nearly always within by luck"


def test_unpaired_is_wider_and_holds_its_error() -> None:
    random = np.random.default_rng(11)
    reference = random.binomial(IMAGES, 0.80, SIMULATIONS)
    build = random.binomial(IMAGES, 0.80 - LIMIT - 1e-4, SIMULATIONS)
    z = [
        float(unpaired_drop_z((int(a), IMAGES), (int(b), IMAGES), LIMIT))
        for a, b in zip(reference, build, strict=True)
    ]
    assert np.mean(p_values(z) <= ALPHA) <= 0.05
    assert unpaired_drop_z((803, 1000), (801, 1000), LIMIT) < drop_z(5, 3, 1000, LIMIT)


@pytest.mark.parametrize(("z", "images"), [(1.0, 1000), (1.9, 437), (0.4, 5_000)])
def test_more_images_bring_the_statistic_to_its_quantile(z: float, images: int) -> None:
    more = more_images_needed(z, images, Z)
    assert more is not None
    exact = images * ((Z / z) ** 2 - 1)
    assert exact <= more <= 1.1 * exact + 1
    assert more_images_needed(2.0, images, Z) == 0
    assert more_images_needed(0.0, images, Z) is None
