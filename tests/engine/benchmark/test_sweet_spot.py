"""The best setting under a limit, its frontier and its sentence, on rows made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine.benchmark.sweep import Percentile, find_best_operating_point
from engine.common.pareto import pareto_front


def rows(*points: tuple[float, float], **columns: object) -> pd.DataFrame:
    """Each point is (p90 in ms, images/s)."""
    p90, rate = zip(*points, strict=True)
    frame = pd.DataFrame(
        {
            "benchmark_id": range(1, len(points) + 1),
            "model_id": "timm/a",
            "precision": "fp32",
            "batch": range(1, len(points) + 1),
            "instances": 2,
            "threads": 1,
            "samples": 300,
            "images_per_s": rate,
            "images_per_s_low": np.array(rate) * 0.99,
            "images_per_s_high": np.array(rate) * 1.01,
            "latency_p50_ms": np.array(p90) * 0.9,
            "latency_p90_ms": p90,
            "latency_p95_ms": np.array(p90) * 1.1,
            "latency_p99_ms": np.nan,
            "stable": True,
            "scenario": "closed loop",
            "noise": None,
        }
    )
    return frame.assign(**columns)


SWEEP = rows((5.0, 100.0), (8.0, 180.0), (20.0, 210.0), (19.0, 150.0))


def test_the_most_images_within_the_limit_win() -> None:
    found = find_best_operating_point(SWEEP, Percentile.P90, 10.0)
    assert found.row is not None
    assert found.row["batch"] == 2
    assert found.within_limit == 2
    assert found.sentence() == (
        "Best operating point: timm/a fp32 at batch 2, concurrency 2, 1 thread: 180.0 images/s "
        "(178.2 to 181.8) with p90 8.00 ms over 300 requests, limit 10 ms; highest throughput "
        "of 2 of 4 points within it."
    )


def test_a_latency_of_exactly_the_limit_is_within_it() -> None:
    assert find_best_operating_point(SWEEP, Percentile.P90, 8.0).row["batch"] == 2


def test_without_a_limit_the_fastest_wins() -> None:
    found = find_best_operating_point(SWEEP)
    assert found.row["images_per_s"] == 210.0
    assert "highest throughput of 4 points." in found.sentence()


def test_where_nothing_keeps_the_limit_the_closest_is_named() -> None:
    found = find_best_operating_point(SWEEP, Percentile.P90, 1.0)
    assert found.row is None
    assert found.to_json()["row"] is None
    assert found.sentence() == (
        "None of 4 points meets p90 <= 1 ms: lowest p90 is 5.00 ms, timm/a fp32 at batch 1, "
        "concurrency 2, 1 thread."
    )


def test_the_percentile_is_a_choice_and_a_withheld_one_counts_for_nothing() -> None:
    assert find_best_operating_point(SWEEP, Percentile.P50, 7.3).row["batch"] == 2
    assert find_best_operating_point(SWEEP, Percentile.P95, 8.0).row["batch"] == 1
    withheld = find_best_operating_point(SWEEP, Percentile.P99, 1e6)
    assert withheld.row is None
    assert withheld.sentence().startswith("No closed-loop benchmark has a p99")


def test_other_scenarios_take_no_part() -> None:
    mixed = pd.concat([SWEEP, rows((1.0, 9999.0), scenario="offline", benchmark_id=9)])
    assert find_best_operating_point(mixed).row["images_per_s"] == 210.0


def test_a_doubtful_winner_is_called_so() -> None:
    noisy = rows((5.0, 100.0), stable=False, noise="the CPU clock changed by 15 %")
    assert (
        find_best_operating_point(noisy)
        .sentence()
        .endswith("Unreliable: the rounds did not agree; the CPU clock changed by 15 %.")
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_frontier_is_what_no_point_beats(seed: int) -> None:
    """Against the definition, by looking at every pair."""
    random = np.random.default_rng(seed)
    cost, value = random.integers(1, 12, 30), random.integers(1, 12, 30)
    kept = pareto_front(cost.tolist(), value.tolist())
    for i in range(30):
        beaten = any(
            (cost[j] <= cost[i] and value[j] > value[i])
            or (cost[j] < cost[i] and value[j] >= value[i])
            for j in range(30)
        )
        twin = any((cost[j], value[j]) == (cost[i], value[i]) for j in kept)
        assert twin == (not beaten)
    assert sorted(cost[kept]) == list(cost[kept])


def test_what_is_not_a_number_is_on_no_frontier() -> None:
    assert pareto_front([1.0, float("nan"), 2.0], [1.0, 9.0, float("nan")]) == [0]


def test_counts_of_the_document_are_integers() -> None:
    floats = SWEEP.assign(batch=SWEEP["batch"].astype(float), samples=300.0)
    found = find_best_operating_point(floats).to_json()
    for row in [found["row"], *found["frontier"]]:
        assert [type(row[name]) for name in ("benchmark_id", "batch", "samples")] == [int] * 3
