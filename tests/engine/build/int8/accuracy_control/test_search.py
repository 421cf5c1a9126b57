"""Accuracy-bounded builds: the first step that holds, what cannot be shown, and going on again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from engine.build.int8.accuracy_control.bound import AGREEMENT, Bound
from engine.build.int8.accuracy_control.checkpoint import Journal
from engine.build.int8.accuracy_control.search import SHARES, within
from engine.build.int8.mixed_precision.layer_selection import layers_of, rank
from engine.build.int8.mixed_precision.mixed_precision import Mixed
from engine.build.int8.pipeline import prepare
from tests.support.int8_requests import how, request_for
from tests.support.mobile import mobile_model

pytestmark = pytest.mark.integration

IMAGES = 400
"""Enough to show a bound of one point where none of them changes."""
Count = Callable[[int, int], None]


def sure(right: np.ndarray) -> np.ndarray:
    """Margins that leave no doubt."""
    return np.where(right, 1.0, -1.0)


ALL_RIGHT = sure(np.ones(IMAGES, bool))


class Judge:
    """Candidates are right on every image from `right_at` float work on, before on 70 %."""

    def __init__(self, right_at: float, dies_at_call: int | None = None) -> None:
        prepared = prepare(mobile_model(), how())
        self.layers = layers_of(prepared.model, prepared.placing.view)
        self.right_at, self.dies_at_call = right_at, dies_at_call
        self.seen: list[float] = []

    def __call__(self, candidate: ModelProto, count: Count) -> np.ndarray:
        if len(self.seen) + 1 == self.dies_at_call:
            raise KeyboardInterrupt
        share = self.float_share(candidate)
        self.seen.append(share)
        count(IMAGES, IMAGES)
        found = np.ones(IMAGES, bool)
        found[: 0 if share >= self.right_at else 120] = False
        return sure(found)

    def float_share(self, candidate: ModelProto) -> float:
        names = {n.output[0] for n in candidate.graph.node if n.op_type == "DequantizeLinear"}
        total = sum(layer.macs for layer in self.layers)
        return sum(x.macs for x in self.layers if f"{x.output}/w" not in names) / total


def bound_of(judge: Judge, max_drop: float = 1.0, limit_s: float = 60.0) -> Bound:
    return Bound(max_drop, judge, ALL_RIGHT, limit_s)


def test_a_bounded_build_stops_at_the_first_step_that_holds() -> None:
    judge = Judge(right_at=0.3)
    mixed = within(request_for(mobile_model()), bound_of(judge))
    found = mixed.facts.bound
    assert found.held
    assert found.drop == 0
    assert [step.drop > 1 for step in found.steps] == [True] * (len(judge.seen) - 1) + [False]
    assert mixed.ranking is not None
    assert 0.3 <= mixed.ranking.share(mixed.kept) < 0.95
    assert judge.float_share(mixed.model) == pytest.approx(judge.seen[-1])


def test_a_bound_that_cannot_be_met_is_said() -> None:
    said: list[str] = []
    request = request_for(mobile_model(), say=said.append)
    wrong = np.concatenate([np.zeros(100, bool), np.ones(300, bool)])
    bound = Bound(1.0, lambda candidate, count: sure(wrong), ALL_RIGHT, 60, AGREEMENT)
    mixed = within(request, bound)
    assert not mixed.facts.bound.held
    assert mixed.facts.bound.measure == "agreement with fp32"
    assert "not shown to hold on 400 images: the drop itself is 25.0 points" in said[-1]
    assert any("drop of agreement with fp32 25.00 points" in line for line in said)


def test_where_none_holds_the_nearest_is_built() -> None:
    """The second candidate is the best of all; the last one judged must not be taken for it."""
    lost = iter([120, 20, 80, 80, 80, 80, 80, 80])
    built: list[ModelProto] = []

    def right(candidate: ModelProto, count: Count) -> np.ndarray:
        built.append(candidate)
        return sure(np.arange(IMAGES) >= next(lost))

    mixed = within(request_for(mobile_model()), Bound(1.0, right, ALL_RIGHT, 60))
    assert len(built) > 2
    assert mixed.facts.bound.drop == pytest.approx(5.0)
    assert mixed.model.SerializeToString() == built[1].SerializeToString()


def test_too_few_images_are_said_before_the_search_and_no_step_is_taken_in_vain() -> None:
    said: list[str] = []
    request = request_for(mobile_model(), say=said.append)
    right = ALL_RIGHT[:200]
    calls: list[int] = []

    def unchanged(candidate: ModelProto, count: Count) -> np.ndarray:
        calls.append(1)
        return right

    mixed = within(request, Bound(1.0, unchanged, right, 60))
    assert "Only 200 images are left" in said[0]
    assert "cannot show less than 1.3 points" in said[0]
    assert not mixed.facts.bound.held
    assert "it would take about 268." in said[-1]
    assert "the first step that is expected to keep it" in said[-1]
    assert len(calls) == 1, "nothing can reach less far than no change at all"
    enough: list[str] = []
    wide = request_for(mobile_model(), say=enough.append)
    within(wide, Bound(1.0, lambda candidate, count: ALL_RIGHT[:268], ALL_RIGHT[:268], 60))
    assert not any("Only" in line for line in enough)


def test_where_none_can_be_shown_the_first_that_is_expected_to_hold_is_built() -> None:
    """Counted, the first step looks best of all; its margins say that this is luck."""
    random = np.random.default_rng(7)
    before = random.normal(2, 2, 200)
    noise = iter([1.5, 1.0, 0.02, 0.01, 0.005, 0.002])
    built: list[ModelProto] = []

    def margins(candidate: ModelProto, count: Count) -> np.ndarray:
        built.append(candidate)
        scale = next(noise)
        moved = before + random.normal(-scale / 3, scale, 200)
        return np.abs(moved) * np.sign(before) if len(built) == 1 else moved

    mixed = within(request_for(mobile_model()), Bound(1.0, margins, before, 60))
    found = mixed.facts.bound
    assert found.steps[0].drop == 0
    assert found.steps[0].expected_at_most > 1
    assert found.expected_at_most <= 1
    assert not found.held
    assert len(built) == 3, "the first that is expected to hold ends a search that can show none"
    assert mixed.model.SerializeToString() == built[2].SerializeToString()


def test_without_a_share_in_float_the_first_step_is_all_int8() -> None:
    judge = Judge(right_at=0.01)
    mixed = within(request_for(mobile_model(), float_share=0.0), bound_of(judge))
    assert judge.seen[0] == 0
    assert mixed.facts.bound.held


@pytest.mark.parametrize("dies_at_call", [1, 2, 3])
def test_a_search_that_was_killed_goes_on_from_the_steps_it_judged(
    tmp_path: Path, dies_at_call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked: list[float] = []

    def counting(*arguments: Any) -> Any:
        ranked.append(arguments[-1])
        return rank(*arguments)

    monkeypatch.setattr("engine.build.int8.mixed_precision.mixed_precision.rank", counting)
    request, path = request_for(mobile_model()), tmp_path / "search.json"
    whole = Judge(right_at=0.6)
    wanted = within(request, bound_of(whole))
    assert len(whole.seen) > 3
    once = list(ranked)
    ranked.clear()

    killed = Judge(right_at=0.6, dies_at_call=dies_at_call)
    with pytest.raises(KeyboardInterrupt):
        within(request, bound_of(killed), Journal.open(path))
    rest = Judge(right_at=0.6)
    found = within(request, bound_of(rest), Journal.open(path))
    assert [*killed.seen, *rest.seen] == whole.seen
    assert ranked == once, "no layer is ranked twice"
    assert found.model.SerializeToString() == wanted.model.SerializeToString()
    assert found.facts.bound.steps == wanted.facts.bound.steps
    assert found.facts.bound.steps_of_earlier_attempts == dies_at_call - 1


def test_a_search_that_was_finished_is_not_judged_again(tmp_path: Path) -> None:
    request, path = request_for(mobile_model()), tmp_path / "search.json"
    wanted = within(request, bound_of(Judge(right_at=0.3)), Journal.open(path))
    again = Judge(right_at=0.3)
    found = within(request, bound_of(again), Journal.open(path))
    assert again.seen == []
    assert found.model.SerializeToString() == wanted.model.SerializeToString()


@pytest.mark.parametrize("left", ["", "{", "[]", '{"steps": [{"kept": 3}]}'])
def test_a_journal_that_cannot_be_read_is_begun_anew(tmp_path: Path, left: str) -> None:
    path = tmp_path / "search.json"
    path.write_text(left)
    journal = Journal.open(path)
    assert (journal.effects, journal.steps, journal.spent_s) == (None, (), 0.0)
    within(request_for(mobile_model()), bound_of(Judge(right_at=0.3)), journal)
    assert Journal.open(path).steps == journal.steps != ()
    journal.remove()
    assert not path.exists()


def test_the_time_of_all_attempts_counts(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    with pytest.raises(KeyboardInterrupt):
        within(
            request_for(mobile_model()),
            bound_of(Judge(right_at=2.0, dies_at_call=3)),
            Journal.open(path),
        )
    journal = Journal.open(path)
    assert 0 < sum(step.seconds for step in journal.steps) <= journal.spent_s
    journal.spent_s = 59.999
    judge, said = Judge(right_at=2.0), []
    slow = replace(request_for(mobile_model()), say=said.append)
    mixed = within(slow, bound_of(judge), journal)
    assert judge.seen == []
    assert not mixed.facts.bound.held
    assert any("another step does not fit its 60 s" in line for line in said)


def test_progress_counts_all_the_steps_that_may_be_left() -> None:
    told: list[tuple[int, int, str, str]] = []
    request = request_for(mobile_model(), progress=lambda *values: told.append(values))
    mixed: Mixed = within(request, bound_of(Judge(right_at=0.3)))
    judging = [values for values in told if values[3].startswith("Judging")]
    most = 1 + sum(share > request.float_share for share in SHARES)
    assert judging[0] == (IMAGES, IMAGES * most, "images", f"Judging step 1 of at most {most}")
    assert judging[-1][1] < judging[0][1]
    assert len(judging) <= len(mixed.facts.bound.steps)
