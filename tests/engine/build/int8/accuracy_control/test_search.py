"""Accuracy-constrained search: stop at the first good step, too few images, resuming."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from engine.build.int8.accuracy_control.bound import AGREEMENT, AccuracyConstraint
from engine.build.int8.accuracy_control.checkpoint import SearchCheckpoint
from engine.build.int8.accuracy_control.search import FLOAT_SHARES, search_float_layers
from engine.build.int8.mixed_precision import mixed_precision
from engine.build.int8.mixed_precision.layer_selection import (
    Layer,
    analyze_sensitivity,
    list_layers,
)
from engine.build.int8.mixed_precision.layer_times import LayerTimes
from engine.build.int8.mixed_precision.mixed_precision import HostTimer, MixedPrecisionBuild
from engine.build.int8.pipeline import prepare
from engine.onnx.graph_view import GraphView
from tests.support.int8_requests import calibration_settings, request_for
from tests.support.mobile import mobile_model

pytestmark = pytest.mark.integration

IMAGES = 400
"""Enough to prove a drop of at most 1 pp where none of them changes."""
ReportProgress = Callable[[int, int], None]


def certain_margins(right: np.ndarray) -> np.ndarray:
    """Margins far from the decision boundary."""
    return np.where(right, 1.0, -1.0)


ALL_RIGHT = certain_margins(np.ones(IMAGES, bool))


@cache
def layers_of_the_network() -> list[Layer]:
    """What can be kept in float, found once for all tests."""
    prepared = prepare(mobile_model(), calibration_settings())
    return list_layers(prepared.model, prepared.placement.view)


class FakeEvaluator:
    """Candidates are correct on all images from a float share of `right_at` on, else on 70 %."""

    def __init__(self, right_at: float, dies_at_call: int | None = None) -> None:
        self.layers = layers_of_the_network()
        self.right_at, self.dies_at_call = right_at, dies_at_call
        self.evaluated_shares: list[float] = []

    def __call__(self, candidate: ModelProto, report_progress: ReportProgress) -> np.ndarray:
        if len(self.evaluated_shares) + 1 == self.dies_at_call:
            raise KeyboardInterrupt
        share = self.float_share(candidate)
        self.evaluated_shares.append(share)
        report_progress(IMAGES, IMAGES)
        found = np.ones(IMAGES, bool)
        found[: 0 if share >= self.right_at else 120] = False
        return certain_margins(found)

    def float_share(self, candidate: ModelProto) -> float:
        names = {n.output[0] for n in candidate.graph.node if n.op_type == "DequantizeLinear"}
        total = sum(layer.macs for layer in self.layers)
        return sum(x.macs for x in self.layers if f"{x.output}/w" not in names) / total


def constraint_for(
    evaluator: FakeEvaluator, max_drop: float = 1.0, limit_s: float = 60.0
) -> AccuracyConstraint:
    return AccuracyConstraint(max_drop, evaluator, ALL_RIGHT, limit_s)


def test_search_stops_at_the_first_step_that_meets_the_constraint() -> None:
    evaluator = FakeEvaluator(right_at=0.3)
    mixed = search_float_layers(request_for(mobile_model()), constraint_for(evaluator))
    found = mixed.facts.bound
    assert found.held
    assert found.drop == 0
    assert [step.drop > 1 for step in found.steps] == [True] * (
        len(evaluator.evaluated_shares) - 1
    ) + [False]
    assert mixed.analysis is not None
    assert 0.3 <= mixed.analysis.macs_share(mixed.float_layers) < 0.95
    assert evaluator.float_share(mixed.model) == pytest.approx(evaluator.evaluated_shares[-1])


def test_a_constraint_that_cannot_be_met_is_reported() -> None:
    messages: list[str] = []
    request = request_for(mobile_model(), log=messages.append)
    wrong = np.concatenate([np.zeros(100, bool), np.ones(300, bool)])
    bound = AccuracyConstraint(
        1.0, lambda candidate, report_progress: certain_margins(wrong), ALL_RIGHT, 60, AGREEMENT
    )
    mixed = search_float_layers(request, bound)
    assert not mixed.facts.bound.held
    assert mixed.facts.bound.measure == "agreement with fp32"
    assert "not proven on 400 images: the measured drop is 25.0 pp" in messages[-2]
    assert "fp32 meets it" in messages[-1]
    assert any("drop of agreement with fp32 25.00 pp" in line for line in messages)


def test_without_a_step_that_meets_the_constraint_the_nearest_is_built() -> None:
    """The second candidate is the best; the last one evaluated must not be taken instead."""
    wrong_counts = iter([120, 20, 80, 80, 80, 80, 80, 80])
    built: list[ModelProto] = []

    def right(candidate: ModelProto, report_progress: ReportProgress) -> np.ndarray:
        built.append(candidate)
        return certain_margins(np.arange(IMAGES) >= next(wrong_counts))

    mixed = search_float_layers(
        request_for(mobile_model()), AccuracyConstraint(1.0, right, ALL_RIGHT, 60)
    )
    assert len(built) > 2
    assert mixed.facts.bound.drop == pytest.approx(5.0)
    assert mixed.model.SerializeToString() == built[1].SerializeToString()


def test_too_few_images_are_reported_before_the_search_and_only_one_step_is_evaluated() -> None:
    messages: list[str] = []
    request = request_for(mobile_model(), log=messages.append)
    right = ALL_RIGHT[:200]
    calls: list[int] = []

    def unchanged(candidate: ModelProto, report_progress: ReportProgress) -> np.ndarray:
        calls.append(1)
        return right

    mixed = search_float_layers(request, AccuracyConstraint(1.0, unchanged, right, 60))
    assert "Only 200 images are left" in messages[0]
    assert "cannot prove less than 1.3 pp" in messages[0]
    assert not mixed.facts.bound.held
    assert "about 268 images would be needed." in messages[-1]
    assert "the first candidate that is expected to meet it" in messages[-1]
    assert len(calls) == 1, "nothing can reach less far than no change at all"
    enough: list[str] = []
    wide = request_for(mobile_model(), log=enough.append)
    search_float_layers(
        wide,
        AccuracyConstraint(
            1.0, lambda candidate, report_progress: ALL_RIGHT[:268], ALL_RIGHT[:268], 60
        ),
    )
    assert not any("Only" in line for line in enough)


def test_where_none_can_be_proven_the_first_expected_to_meet_the_constraint_is_built() -> None:
    """By count the first step is the best; its margins show that this is chance."""
    random = np.random.default_rng(7)
    before = random.normal(2, 2, 200)
    noise = iter([1.5, 1.0, 0.02, 0.01, 0.005, 0.002])
    built: list[ModelProto] = []

    def margins(candidate: ModelProto, report_progress: ReportProgress) -> np.ndarray:
        built.append(candidate)
        scale = next(noise)
        moved = before + random.normal(-scale / 3, scale, 200)
        return np.abs(moved) * np.sign(before) if len(built) == 1 else moved

    mixed = search_float_layers(
        request_for(mobile_model()), AccuracyConstraint(1.0, margins, before, 60)
    )
    found = mixed.facts.bound
    assert found.steps[0].drop == 0
    assert found.steps[0].expected_at_most > 1
    assert found.expected_at_most <= 1
    assert not found.held
    assert len(built) == 3, "the first that is expected to hold ends a search that can show none"
    assert mixed.model.SerializeToString() == built[2].SerializeToString()


def test_with_float_share_0_the_first_step_is_full_int8() -> None:
    evaluator = FakeEvaluator(right_at=0.01)
    mixed = search_float_layers(
        request_for(mobile_model(), float_share=0.0), constraint_for(evaluator)
    )
    assert evaluator.evaluated_shares[0] == 0
    assert mixed.facts.bound.held


@pytest.mark.parametrize("dies_at_call", [1, 2, 3])
def test_a_killed_search_resumes_after_its_last_step(
    tmp_path: Path, dies_at_call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyzed: list[float] = []

    def counting(*arguments: Any) -> Any:
        analyzed.append(arguments[-2])
        return analyze_sensitivity(*arguments)

    monkeypatch.setattr(mixed_precision, "analyze_sensitivity", counting)
    request, path = request_for(mobile_model()), tmp_path / "search.json"
    uninterrupted = FakeEvaluator(right_at=0.6)
    wanted = search_float_layers(request, constraint_for(uninterrupted))
    assert len(uninterrupted.evaluated_shares) > 3
    analyzed_once = list(analyzed)
    analyzed.clear()

    killed = FakeEvaluator(right_at=0.6, dies_at_call=dies_at_call)
    with pytest.raises(KeyboardInterrupt):
        search_float_layers(request, constraint_for(killed), SearchCheckpoint.load(path))
    resumed = FakeEvaluator(right_at=0.6)
    found = search_float_layers(request, constraint_for(resumed), SearchCheckpoint.load(path))
    assert [*killed.evaluated_shares, *resumed.evaluated_shares] == uninterrupted.evaluated_shares
    assert analyzed == analyzed_once, "no layer is ranked twice"
    assert found.model.SerializeToString() == wanted.model.SerializeToString()
    assert found.facts.bound.steps == wanted.facts.bound.steps
    assert found.facts.bound.steps_of_earlier_attempts == dies_at_call - 1


def test_a_finished_search_is_not_evaluated_again(tmp_path: Path) -> None:
    request, path = request_for(mobile_model()), tmp_path / "search.json"
    wanted = search_float_layers(
        request, constraint_for(FakeEvaluator(right_at=0.3)), SearchCheckpoint.load(path)
    )
    again = FakeEvaluator(right_at=0.3)
    found = search_float_layers(request, constraint_for(again), SearchCheckpoint.load(path))
    assert again.evaluated_shares == []
    assert found.model.SerializeToString() == wanted.model.SerializeToString()


@pytest.mark.parametrize("left", ["", "{", "[]", '{"steps": [{"kept": 3}]}'])
def test_an_unreadable_checkpoint_is_replaced(tmp_path: Path, left: str) -> None:
    path = tmp_path / "search.json"
    path.write_text(left)
    checkpoint = SearchCheckpoint.load(path)
    assert (checkpoint.sensitivity, checkpoint.steps, checkpoint.spent_s) == (None, (), 0.0)
    search_float_layers(
        request_for(mobile_model()), constraint_for(FakeEvaluator(right_at=0.3)), checkpoint
    )
    assert SearchCheckpoint.load(path).steps == checkpoint.steps != ()
    checkpoint.remove()
    assert not path.exists()


def test_the_time_limit_counts_all_attempts(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    with pytest.raises(KeyboardInterrupt):
        search_float_layers(
            request_for(mobile_model()),
            constraint_for(FakeEvaluator(right_at=2.0, dies_at_call=3)),
            SearchCheckpoint.load(path),
        )
    checkpoint = SearchCheckpoint.load(path)
    assert 0 < sum(step.duration_s for step in checkpoint.steps) <= checkpoint.spent_s
    checkpoint.spent_s = 59.999
    evaluator, messages = FakeEvaluator(right_at=2.0), []
    slow = replace(request_for(mobile_model()), log=messages.append)
    mixed = search_float_layers(slow, constraint_for(evaluator), checkpoint)
    assert evaluator.evaluated_shares == []
    assert not mixed.facts.bound.held
    assert any("another step does not fit in 60 s" in line for line in messages)


def test_progress_counts_all_remaining_steps() -> None:
    progress_calls: list[tuple[int, int, str, str]] = []
    request = request_for(mobile_model(), progress=lambda *values: progress_calls.append(values))
    mixed: MixedPrecisionBuild = search_float_layers(
        request, constraint_for(FakeEvaluator(right_at=0.3))
    )
    judging = [values for values in progress_calls if values[3].startswith("Evaluating")]
    most = 1 + sum(share > request.float_share for share in FLOAT_SHARES)
    assert judging[0] == (IMAGES, IMAGES * most, "images", f"Evaluating step 1 of at most {most}")
    assert judging[-1][1] < judging[0][1]
    assert len(judging) <= len(mixed.facts.bound.steps)


def fixed_timer(speed: float, timed: list[int]) -> HostTimer:
    """Layers take a microsecond for each MAC in float, and half of that in int8."""

    def layers(names: Iterable[str], view: GraphView, threads: int) -> LayerTimes:
        timed.append(1)
        macs = {name: float(view.constants[view.producers[name].input[1]].size) for name in names}
        return LayerTimes({name: value / 2 for name, value in macs.items()}, macs, 1.0)

    return HostTimer(layers, lambda first, second, images, threads: speed)


def test_a_search_orders_layers_by_time_and_measures_them_once(tmp_path: Path) -> None:
    timed: list[int] = []
    request = request_for(mobile_model(), timer=fixed_timer(1.5, timed))
    path = tmp_path / "search.json"
    wanted = search_float_layers(request, constraint_for(FakeEvaluator(right_at=0.4)))
    assert wanted.facts.bound.held
    assert wanted.facts.bound.relative_speed == 1.5
    assert set(wanted.times.float_ms) == {layer.output for layer in wanted.analysis.layers}
    timed.clear()
    killed = FakeEvaluator(right_at=0.4, dies_at_call=3)
    with pytest.raises(KeyboardInterrupt):
        search_float_layers(request, constraint_for(killed), SearchCheckpoint.load(path))
    resumed = FakeEvaluator(right_at=0.4)
    found = search_float_layers(request, constraint_for(resumed), SearchCheckpoint.load(path))
    assert len(timed) == 1
    assert found.facts.bound.steps == wanted.facts.bound.steps
    assert found.model.SerializeToString() == wanted.model.SerializeToString()


@pytest.mark.parametrize(("speed", "said"), [(0.8, True), (1.2, False)])
def test_a_build_that_is_not_faster_than_fp32_is_reported(speed: float, said: bool) -> None:
    messages: list[str] = []
    timer = fixed_timer(speed, [])
    request = request_for(mobile_model(), timer=timer, log=messages.append)
    search_float_layers(request, constraint_for(FakeEvaluator(right_at=0.3)))
    assert any("at about 0.80 times the speed of fp32" in line for line in messages) == said


def test_of_candidates_that_do_not_meet_the_constraint_one_faster_than_fp32_is_taken() -> None:
    """The third is nearest to the constraint, but fp32 meets it and is faster."""
    speeds, wrong = iter([1.4, 1.2, 0.9, 0.9, 0.9, 0.9]), iter([120, 80, 20, 20, 20, 20])
    messages: list[str] = []
    timer = HostTimer(fixed_timer(1.0, []).layers, lambda *models: next(speeds))

    def margins(candidate: ModelProto, report_progress: ReportProgress) -> np.ndarray:
        return certain_margins(np.arange(IMAGES) >= next(wrong))

    request = request_for(mobile_model(), timer=timer, log=messages.append)
    mixed = search_float_layers(request, AccuracyConstraint(1.0, margins, ALL_RIGHT, 60))
    assert mixed.facts.bound.drop == pytest.approx(20.0)
    assert mixed.facts.bound.relative_speed == 1.2
    assert "of those faster than fp32" in messages[-2]
    assert "No int8 build was found that meets the constraint and is faster" in messages[-1]


def test_a_search_tells_its_time_first_and_the_best_so_far() -> None:
    messages: list[str] = []
    wrong = iter([10, 100, 50, 50, 50, 50, 50])

    def margins(candidate: ModelProto, report_progress: ReportProgress) -> np.ndarray:
        return certain_margins(np.arange(IMAGES) >= next(wrong))

    request = request_for(mobile_model(), log=messages.append)
    constraint = AccuracyConstraint(0.1, margins, ALL_RIGHT, 3600, expected_step_s=20.0)
    search_float_layers(request, constraint)
    told = [line for line in messages if line.startswith("The search evaluates up to")]
    assert "on 400 images, about 20 s each" in told[0]
    assert messages.index(told[0]) < next(i for i, m in enumerate(messages) if "drop of" in m)
    assert sum(line.endswith(" more.") for line in messages) == 1, "after the first candidate"
    assert any(line.startswith("Best so far: ") and "2.50 pp" in line for line in messages)
