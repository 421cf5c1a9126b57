"""The recommended build: each constraint decides, nothing unmeasured passes, the text is true."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from engine.benchmark.sweep import Percentile
from engine.common.stats import PairedDifference, paired_difference
from engine.results.recommend import (
    Constraints,
    Evidence,
    Goal,
    State,
    candidates,
    caveats,
    comparable_points,
    only_real_or_only_demo,
    recommend,
    recommendation_document,
    recommendation_text,
    with_accuracy_drops,
)
from tests.support.pages import missing


def build(model: str, precision: str, top1: float, rate: float, **other: object) -> dict:
    row = {
        "model_id": model,
        "label": model,
        "origin": "measured here",
        "runtime": "onnxruntime 1.32.0",
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
        "images_in_dataset": 1000,
        "images_per_s": rate,
        "images_per_s_low": 0.98 * rate,
        "images_per_s_high": 1.02 * rate,
        "peak_rss_mb": 300.0,
        "benchmark_id": None,
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


OPENVINO = {"runtime": "openvino 2026.4.1"}


def test_drops_are_against_fp32_in_the_same_runtime_and_else_in_the_default_one() -> None:
    rows = [
        *BIG,
        build("big", "fp32", 80.0, 20, evaluation_id=71.0, **OPENVINO),
        build("big", "int8", 79.5, 60, evaluation_id=72.0, **OPENVINO),
        build("small", "fp32", 75.0, 50, evaluation_id=73.0),
        build("small", "int8", 74.0, 90, evaluation_id=74.0, **OPENVINO),
    ]
    found = with_accuracy_drops(pd.DataFrame(rows))
    assert found["drop_pp"].tolist() == pytest.approx([0, 0.5, 0, 0.5, 0, 1.0])
    assert found["fp32_id"].tolist()[2:] == [71.0, 71.0, 73.0, 73.0]
    assert found["fp32_runtime"].isna().tolist() == [True] * 5 + [False]
    assert found["fp32_runtime"].iloc[5] == "onnxruntime"
    alone = with_accuracy_drops(
        pd.DataFrame(rows[2:4])[
            ["runtime", *found.columns.drop(["runtime", "fp32_id", "fp32_runtime", "drop_pp"])]
        ]
    )
    assert alone["drop_pp"].tolist() == pytest.approx([0, 0.5])


def said(points: pd.DataFrame, constraints: Constraints, evidence: Evidence | None = None):
    return recommendation_text(recommend(points, constraints, evidence), constraints, "batch 1")


def test_the_runtime_of_the_recommended_build_is_named() -> None:
    points = with_accuracy_drops(
        pd.DataFrame([*BIG, build("big", "int8", 80.5, 60, evaluation_id=72.0, **OPENVINO)])
    )
    text = said(points, Constraints(goal=Goal.THROUGHPUT))
    assert text.head == "Inconclusive: big int8 in OpenVINO."
    assert "vs its fp32 in ONNX Runtime (not paired by image)" in text.evidence
    text = said(points.iloc[:2].assign(several_runtimes=True), Constraints(goal=Goal.THROUGHPUT))
    assert text.head == "Inconclusive: big int8 in ONNX Runtime."


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
    assert chosen(goal=Goal.THROUGHPUT) == ("small", "fp32")
    assert chosen(goal=Goal.THROUGHPUT, max_drop_pp=None) == ("small", "int8")


def test_a_missing_figure_meets_no_constraint() -> None:
    none = recommend(POINTS, Constraints(percentile=Percentile.P99, max_latency_ms=1e9))
    assert none.row is None
    without_fp32 = with_accuracy_drops(pd.DataFrame(BIG[1:]))
    assert recommend(without_fp32, Constraints(max_drop_pp=50.0)).row is None


def test_builds_whose_weights_are_not_stated_are_recommended_too() -> None:
    rows = [build("big", "fp32", 81.0, 10), build("big", "int8", 80.5, 30)]
    imported = pd.DataFrame([{**row, "weights_digest": None, "origin": "card"} for row in rows])
    one = recommend(with_accuracy_drops(imported), Constraints())
    assert one.row is not None
    assert one.row["precision"] == "int8"


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


def paired(only_fp32: int, only_int8: int, n: int = 1000) -> Evidence:
    """The same paired counts for every build."""
    both = n - only_fp32 - only_int8
    first = np.repeat([True, True, False], [both, only_fp32, only_int8])
    second = np.repeat([True, False, True], [both, only_fp32, only_int8])
    return Evidence(lambda *ids: paired_difference(first, second))


NEAR, CLEAR = paired(20, 15), paired(6, 5)
"""Drops of 0.5 and 0.1 pp: their intervals reach beyond 1 pp, and do not."""


def found(evidence: Evidence, *rows: dict, **constraints: object):
    points = with_accuracy_drops(pd.DataFrame(rows or BIG))
    return recommend(points, Constraints(**constraints), evidence)


def test_green_needs_the_interval_within_the_drop() -> None:
    assert NEAR.paired(1, 2).low < -0.01 < CLEAR.paired(1, 2).low
    green = found(CLEAR)
    assert (green.state, green.row["precision"]) == (State.MEETS, "int8")
    amber = found(NEAR)
    assert (amber.state, amber.row["precision"]) == (State.LIKELY, "int8")
    assert amber.shown["precision"] == "fp32", "fp32 has no drop to show"


def test_the_number_of_images_would_show_it() -> None:
    amber = found(NEAR)
    more = amber.assessment.more_images
    share = (1000 + more) / 1000
    enough = paired(round(20 * share), round(15 * share), 1000 + more)
    assert found(enough).state == State.MEETS
    text = recommendation_text(amber, Constraints(), "batch 1")
    assert f"About {more:,} more images" in text.open
    assert "dataset has 0 more" in text.open
    assert "Meets constraints already: big fp32" in text.open


def test_a_drop_at_its_limit_has_no_number_of_images() -> None:
    at_limit = found(paired(10, 0))
    assert at_limit.state == State.INCONCLUSIVE
    assert at_limit.assessment.more_images is None
    assert at_limit.unreliable == (), "another measurement of the speed would not help"


@pytest.mark.parametrize(
    ("doubt", "reason"),
    [
        ({"stable": 0, "machine_state": "two speeds"}, "unstable"),
        ({"noise": "other processes used 1.80 cores"}, "1.80 cores"),
        ({"valid": 0, "verdict": "9 of 900 late"}, "9 of 900 late"),
        ({"origin": "imported: card"}, "imported"),
    ],
)
def test_an_unreliable_speed_is_never_green(doubt: dict, reason: str) -> None:
    rows = [{**row, **doubt} for row in BIG]
    amber = found(CLEAR, *rows)
    assert amber.state == State.INCONCLUSIVE
    assert any(reason in one for one in amber.assessment.reasons)
    assert len(amber.unreliable) == 2
    one = found(CLEAR, BIG[0], rows[1] | {"origin": "measured here"})
    if "origin" not in doubt:
        assert one.shown["precision"] == "fp32"


@pytest.mark.parametrize(("high", "state"), [(44.0, State.MEETS), (46.0, State.INCONCLUSIVE)])
def test_the_interval_of_the_latency_must_be_within_its_limit(high: float, state: State) -> None:
    rows = [{**row, "benchmark_id": 7.0} for row in BIG]
    evidence = Evidence(CLEAR.paired, lambda number: {"latency_p90_ms": (38.0, high)})
    assert found(evidence, *rows, max_latency_ms=45.0).state == state


def test_without_paired_images_nothing_is_green() -> None:
    amber = found(Evidence())
    assert amber.state == State.INCONCLUSIVE
    assert "not paired by image" in amber.assessment.reasons[0]


def test_a_minimum_of_top1_keeps_out_a_small_network() -> None:
    constraints = {"goal": Goal.THROUGHPUT, "max_drop_pp": None}
    assert found(CLEAR, *BIG, *SMALL, **constraints).row["label"] == "small"
    least = found(CLEAR, *BIG, *SMALL, min_top1=78.0, **constraints)
    assert (least.row["label"], least.state) == ("big", State.LIKELY)
    assert found(CLEAR, *BIG, min_top1=76.0, **constraints).state == State.MEETS


def test_memory_is_a_constraint() -> None:
    rows = [BIG[0] | {"peak_rss_mb": 200.0}, BIG[1]]
    assert found(CLEAR, *rows, max_memory_mb=250.0).row["precision"] == "fp32"


def test_a_build_that_is_not_faster_stands_behind_fp32() -> None:
    slower = {"speed_up": 0.9, "speed_up_low": 0.85, "speed_up_high": 0.95, "speed_up_p": 0.01}
    rows = [BIG[0], BIG[1] | slower]
    assert found(CLEAR, *rows).row["precision"] == "fp32"
    small = found(CLEAR, *rows, max_size_mb=30.0)
    assert small.row["precision"] == "int8", "fp32 is too large"
    assert "not faster than fp32 here (0.90 ×)" in " ".join(caveats(small.row, Constraints()))
    unknown = found(CLEAR, BIG[0], BIG[1] | {"images_per_s": 10.1, "images_per_s_low": 9.9})
    assert unknown.state == State.INCONCLUSIVE
    assert "different sessions" in unknown.assessment.reasons[0]
    assert [row["precision"] for row in unknown.unreliable] == ["int8"]


def test_when_no_build_meets_it_names_the_nearest_miss_and_its_distance() -> None:
    none = recommend(POINTS, Constraints(max_latency_ms=5.5, max_drop_pp=1.0))
    assert none.state == State.FAILS
    text = str(recommendation_text(none, Constraints(max_latency_ms=5.5), "batch 1"))
    assert not missing(text, "0 of 4", "small fp32", "24.00 ms, 18.50 ms above the limit of 5.5 ms")
    close = recommend(POINTS, Constraints(max_latency_ms=23.0))
    assert [(miss.limit.name, miss.excess) for miss in close.misses] == [("p90", 1.0)]
    assert close.nearest["label"] == "small"
    tested = recommend(POINTS, Constraints(max_drop_pp=None, min_top1=90.0))
    assert (tested.nearest["label"], tested.misses[0].excess) == ("big", 9.0)


def test_a_missing_figure_is_named_unknown() -> None:
    none = recommend(POINTS, Constraints(percentile=Percentile.P99, max_latency_ms=9.0))
    text = str(recommendation_text(none, Constraints(), "batch 1"))
    assert "p99 unknown (p99 ≤ 9 ms)" in text


def test_the_demo_is_never_mixed_with_real_results() -> None:
    demo = {**build("demo/senet", "int8", 99.0, 900), "evaluation_id": 5.0}
    speed_only = {**build("timm/b", "int8", 0.0, 9), "evaluation_id": None}
    real = only_real_or_only_demo(pd.DataFrame([*BIG, demo]))
    assert set(real["model_id"]) == {"big"}
    shown = only_real_or_only_demo(pd.DataFrame([demo, speed_only]))
    assert shown["model_id"].tolist() == ["demo/senet"]


def test_the_recommendation_carries_its_evidence() -> None:
    text = said(POINTS, Constraints(), paired(5, 0))
    assert not missing(text.head, "big", "int8")
    assert not missing(text.evidence, "80.50 %", "1,000 images", "val", "−0.50", "p = 0.06")
    assert not missing(text.evidence, "p90 40.00 ms", "3 builds")
    assert "its fp32, paired" not in text.evidence.partition("images/s")[2]


def test_the_speed_up_is_told_with_its_interval() -> None:
    faster = {"speed_up": 3.0, "speed_up_low": 2.9, "speed_up_high": 3.1, "speed_up_p": 0.008}
    points = with_accuracy_drops(pd.DataFrame([BIG[0], build("big", "int8", 80.5, 30, **faster)]))
    text = said(points, Constraints())
    assert "(3.00 × its fp32, paired 95 % interval 2.90 to 3.10: significant)" in text.evidence


def test_caveats_are_named() -> None:
    limited = {"elsewhere": "of 9 nodes ran 2 on x", "execution": "emulated", "seen_images": 9}
    row = build("big", "int8", 80.5, 30, **limited)
    named = " ".join(caveats(row, Constraints(goal=Goal.THROUGHPUT)))
    assert not missing(named, "emulated", "of 9 nodes", "9 of 1,000", "no min top-1")
    assert caveats(BIG[0], Constraints()) == []


def test_the_document_is_plain_data() -> None:
    document = json.loads(
        json.dumps(recommendation_document(found(NEAR), Constraints(), "val", "batch 1"))
    )
    assert (document["state"], document["build"]["precision"]) == ("likely", "int8")
    assert document["difference"]["only_a"] == 20
    assert document["meets_already"]["precision"] == "fp32"
    none = recommend(POINTS, Constraints(max_latency_ms=23.0))
    document = recommendation_document(none, Constraints(), "val", "batch 1")
    assert document["build"] is None
    assert document["nearest_miss"]["misses"][0]["beyond_by"] == 1.0


def test_the_best_of_sixty_just_outside_the_limit_is_hardly_ever_green() -> None:
    n, builds, simulations, changed, drop = 2000, 60, 40, 0.06, 0.0101
    random = np.random.default_rng(5)
    shares = [(changed + drop) / 2, (changed - drop) / 2]
    counts = random.multinomial(n, [*shares, 1 - changed], size=(simulations, builds))[..., :2]
    identity = pd.DataFrame([build(f"m{i}", "int8", 80.0, 10 + i) for i in range(builds)])
    identity = identity.assign(images=n, fp32_id=-1.0, fp32_runtime=None)
    identity["evaluation_id"] = np.arange(builds, dtype=float)
    together = naive = 0
    for lost, gained in counts.transpose(0, 2, 1):
        pairs = [
            PairedDifference(n, 0, int(a), int(b), 0, (b - a) / n, 0.0, 0.0, 1.0)
            for a, b in zip(lost, gained, strict=True)
        ]
        points = identity.assign(drop_pp=100 * (lost - gained) / n)
        for one, count in ((points, "together"), (points.nsmallest(1, "drop_pp"), "naive")):
            state = recommend(one, Constraints(), Evidence(lambda a, b: pairs[b])).state  # noqa: B023
            together += count == "together" and state == State.MEETS
            naive += count == "naive" and state == State.MEETS
    assert together / simulations <= 0.05
    assert naive / simulations > 0.5, "tested alone, the best of many seems to be within"
