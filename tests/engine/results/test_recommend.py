"""The recommended build: each constraint decides, nothing unmeasured passes, the text is true."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine.benchmark.sweep import Percentile
from engine.common.stats import paired_difference
from engine.results.recommend import (
    Constraints,
    Goal,
    candidates,
    comparable_points,
    recommend,
    recommendation_caveats,
    recommendation_text,
    with_accuracy_drops,
)
from tests.support.pages import missing


def build(model: str, precision: str, top1: float, rate: float, **other: object) -> dict:
    row = {
        "model_id": model,
        "label": model,
        "origin": "measured here",
        "label_set": "dataset",
        "weights_digest": f"w{model}",
        "dataset_digest": "d",
        "dataset": "val",
        "preprocess": "p",
        "images": 1000,
        "images_digest": "i",
        "precision": precision,
        "top1": top1,
        "top1_low": top1 - 2,
        "top1_high": top1 + 2,
        "images_per_s": rate,
        "latency_p50_ms": 1000 / rate,
        "latency_p90_ms": 1200 / rate,
        "latency_p95_ms": 1300 / rate,
        "latency_p99_ms": None,
        "size_mb": {"fp32": 100.0, "fp16": 50.0, "int8": 27.0}[precision],
        "at_chance": False,
        "evaluation_id": float(hash((model, precision)) % 1000),
        "stable": 1,
        "speed_up": None,
        "speed_up_low": None,
        "speed_up_high": None,
        "speed_up_p": None,
        "machine_state": None,
        "noise": None,
        "verdict": None,
        "valid": None,
        "elsewhere": None,
        "execution": "native",
    }
    return row | other


BIG = [build("big", "fp32", 81.0, 10), build("big", "int8", 80.5, 30)]
SMALL = [build("small", "fp32", 75.0, 50), build("small", "int8", 70.0, 200)]
POINTS = with_accuracy_drops(pd.DataFrame(BIG + SMALL))


def chosen(**constraints: object) -> tuple[str, str]:
    row = recommend(POINTS, Constraints(**constraints)).row
    return (row["label"], row["precision"])


def test_drops_are_against_fp32_of_the_same_model_and_images() -> None:
    assert POINTS["drop_pp"].tolist() == pytest.approx([0, 0.5, 0, 5.0])
    alone = with_accuracy_drops(pd.DataFrame([BIG[1], {**BIG[0], "images": 500}]))
    assert np.isnan(alone["drop_pp"].iloc[0])


def test_within_the_accepted_drop_speed_decides_the_precision() -> None:
    assert chosen(max_drop_pp=1.0) == ("big", "int8")
    assert chosen(max_drop_pp=0.4) == ("big", "fp32")


def test_without_a_max_drop_accuracy_alone_decides() -> None:
    assert chosen(max_drop_pp=None) == ("big", "fp32")


def test_each_constraint_excludes() -> None:
    assert chosen(max_latency_ms=30.0, percentile=Percentile.P90) == ("small", "fp32")
    assert chosen(max_latency_ms=45.0, percentile=Percentile.P90) == ("big", "int8")
    assert chosen(max_size_mb=27.0) == ("big", "int8")
    assert chosen(goal=Goal.FAST) == ("small", "fp32")
    assert chosen(goal=Goal.FAST, max_drop_pp=None) == ("small", "int8")


def test_a_missing_figure_meets_no_constraint() -> None:
    found = recommend(POINTS, Constraints(percentile=Percentile.P99, max_latency_ms=1e9))
    assert found.row is None
    without_fp32 = with_accuracy_drops(pd.DataFrame(BIG[1:]))
    assert recommend(without_fp32, Constraints(max_drop_pp=50.0)).row is None


def test_builds_whose_weights_are_not_stated_are_recommended_too() -> None:
    rows = [build("big", "fp32", 81.0, 10), build("big", "int8", 80.5, 30)]
    imported = pd.DataFrame([{**row, "weights_digest": None, "origin": "card"} for row in rows])
    found = recommend(with_accuracy_drops(imported), Constraints())
    assert found.row is not None
    assert found.row["precision"] == "int8"


def test_candidates_are_finished_trained_comparable_and_have_a_speed() -> None:
    more = {"images_planned": 1000, "weights_kind": "file", "not_comparable": None}
    rows = [
        build("whole", "fp32", 80.0, 10, evaluation_id=1, **more),
        build("partial", "fp32", 80.0, 10, evaluation_id=2, **{**more, "images_planned": 2000}),
        build("random", "fp32", 80.0, 10, evaluation_id=3, **{**more, "weights_kind": "random"}),
        build(
            "not_comparable",
            "fp32",
            80.0,
            10,
            evaluation_id=4,
            **{**more, "not_comparable": "prepared as x"},
        ),
        build("slow", "fp32", 80.0, 10, evaluation_id=5, **{**more, "images_per_s": None}),
    ]
    points = comparable_points(pd.DataFrame(rows))
    assert points["model_id"].tolist() == ["whole", "slow"]
    assert candidates(points)["model_id"].tolist() == ["whole"]


def test_collapsed_builds_are_never_recommended() -> None:
    fallen = POINTS.assign(at_chance=[False, True, False, False])
    assert recommend(fallen, Constraints()).row["precision"] == "fp32"


def test_when_no_build_meets_it_names_the_constraint_and_the_closest_build() -> None:
    found = recommend(POINTS, Constraints(max_latency_ms=0.1, max_drop_pp=1.0))
    assert not missing(found.reason, "0 of 4", "3 builds", "p90 ≤ 0.1 ms", "small fp32, 24.00 ms")
    assert "without accuracy drop" not in found.reason


def test_the_recommendation_carries_its_evidence() -> None:
    found = recommend(POINTS, Constraints())
    right = np.arange(1000) < 810
    difference = paired_difference(right, np.arange(1000) < 805)
    text = recommendation_text(found, Constraints(), difference, "batch 1, 2 threads")
    assert not missing(text.head, "big", "int8")
    assert not missing(text.evidence, "80.50 %", "1,000 images", "val", "−0.50", "p = 0.06")
    assert not missing(text.evidence, "p90 40.00 ms", "3 builds")
    assert str(text) == f"{text.head} {text.evidence}"
    assert "its fp32, paired" not in text.evidence.partition("images/s")[2]


def test_the_speed_up_is_told_with_its_interval() -> None:
    faster = {"speed_up": 3.0, "speed_up_low": 2.9, "speed_up_high": 3.1, "speed_up_p": 0.008}
    points = with_accuracy_drops(pd.DataFrame([BIG[0], build("big", "int8", 80.5, 30, **faster)]))
    text = recommendation_text(recommend(points, Constraints()), Constraints(), None, "batch 1")
    assert "(3.00 × its fp32, paired 95 % interval 2.90 to 3.10: significant)" in text.evidence


def test_caveats_are_named() -> None:
    unreliable = {
        "stable": 0,
        "machine_state": "two speeds: 520 and 910 images/s",
        "speed_up": 0.9,
        "speed_up_low": 0.8,
        "speed_up_high": 0.97,
        "speed_up_p": 0.004,
        "noise": "other processes used 1.00 cores",
        "verdict": "invalid: 9 of 900",
        "valid": False,
        "elsewhere": "of 9 nodes ran 2 on x",
        "execution": "emulated",
    }
    row = build("big", "int8", 80.5, 30, **unreliable)
    difference = paired_difference(np.arange(100) < 81, np.arange(100) < 79)
    caveats = " ".join(recommendation_caveats(row, Constraints(), difference))
    for part in (
        "interval of the accuracy drop reaches",
        "unstable: its interval between rounds is wide (two speeds: 520 and 910 images/s)",
        "int8 is not faster than fp32",
        "interference: other",
        "emulated",
        "9 of 900",
        "of 9 nodes",
    ):
        assert part in caveats
    assert recommendation_caveats(BIG[0], Constraints(), None) == []
