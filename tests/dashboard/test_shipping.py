"""The one build to ship: each limit decides, nothing unmeasured passes, the sentence is true."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dashboard.shipping import FAST, Limits, doubts, judge, sentence, with_drops
from engine.common.stats import paired_difference


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
        "noise": None,
        "verdict": None,
        "elsewhere": None,
        "execution": "native",
    }
    return row | other


BIG = [build("big", "fp32", 81.0, 10), build("big", "int8", 80.5, 30)]
SMALL = [build("small", "fp32", 75.0, 50), build("small", "int8", 70.0, 200)]
POINTS = with_drops(pd.DataFrame(BIG + SMALL))


def chosen(**limits: object) -> tuple[str, str]:
    row = judge(POINTS, Limits(**limits)).row
    return (row["label"], row["precision"])


def test_drops_are_against_fp32_of_the_same_model_and_images() -> None:
    assert POINTS["drop"].tolist() == pytest.approx([0, 0.5, 0, 5.0])
    alone = with_drops(pd.DataFrame([BIG[1], {**BIG[0], "images": 500}]))
    assert np.isnan(alone["drop"].iloc[0])


def test_within_the_tolerated_drop_speed_decides_the_precision() -> None:
    assert chosen(drop_points=1.0) == ("big", "int8")
    assert chosen(drop_points=0.4) == ("big", "fp32")


def test_without_a_limit_on_the_drop_accuracy_alone_decides() -> None:
    assert chosen(drop_points=None) == ("big", "fp32")


def test_each_limit_excludes() -> None:
    assert chosen(latency_ms=30.0, percentile="p90") == ("small", "fp32")
    assert chosen(latency_ms=45.0, percentile="p90") == ("big", "int8")
    assert chosen(size_mb=27.0) == ("big", "int8")
    assert chosen(prefer=FAST) == ("small", "fp32")
    assert chosen(prefer=FAST, drop_points=None) == ("small", "int8")


def test_what_was_not_measured_meets_no_limit() -> None:
    verdict = judge(POINTS, Limits(percentile="p99", latency_ms=1e9))
    assert verdict.row is None
    without_fp32 = with_drops(pd.DataFrame(BIG[1:]))
    assert judge(without_fp32, Limits(drop_points=50.0)).row is None


def test_collapsed_builds_are_never_shipped() -> None:
    fallen = POINTS.assign(at_chance=[False, True, False, False])
    assert judge(fallen, Limits()).row["precision"] == "fp32"


def test_when_nothing_meets_it_says_which_limit_stands_in_the_way() -> None:
    verdict = judge(POINTS, Limits(latency_ms=0.1, drop_points=1.0))
    assert "None of 4 builds" in verdict.against
    assert "3 builds without p90 of at most 0.1 ms" in verdict.against
    assert "without a drop" not in verdict.against


def test_the_sentence_carries_its_evidence() -> None:
    verdict = judge(POINTS, Limits())
    right = np.arange(1000) < 810
    drop = paired_difference(right, np.arange(1000) < 805)
    said = sentence(verdict.row, Limits(), drop, "batch 1, 2 threads", verdict.against)
    for part in ("Ship big at int8", "80.50 %", "1,000 images of val", "−0.50 points", "p = 0.06"):
        assert part in said
    assert "p90 40.00 ms" in said
    assert "of the 3 builds that meet the limits" in said
    assert said.count(". ") <= 1


def test_doubts_are_told() -> None:
    doubtful = {
        "stable": 0,
        "noise": "other processes used 1.00 cores",
        "verdict": "invalid: 9 of 900",
        "elsewhere": "of 9 nodes ran 2 on x",
        "execution": "emulated on x",
    }
    row = build("big", "int8", 80.5, 30, **doubtful)
    drop = paired_difference(np.arange(100) < 81, np.arange(100) < 79)
    told = " ".join(doubts(row, Limits(), drop))
    for part in (
        "interval reaches",
        "stable",
        "noisy: other",
        "emulated",
        "9 of 900",
        "of 9 nodes",
    ):
        assert part in told
    assert doubts(BIG[0], Limits(), None) == []
