"""The benchmark's protocol, with windows that the tests supply."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine.benchmark import measurement
from engine.benchmark.measurement import Measurement, measure
from engine.benchmark.windows import Window
from engine.specs import BenchmarkSpec


def window(images_per_s: float) -> Window:
    return Window(1.0, round(images_per_s), np.array([1.0]))


def measured(
    rates: list[float], monkeypatch: pytest.MonkeyPatch, max_s: float = 1e9
) -> Measurement:
    supply = itertools.chain(rates, itertools.repeat(rates[-1]))
    monkeypatch.setattr(measurement, "warm_up", lambda *a: 0.0)
    spec = BenchmarkSpec(artifact="x", max_s=max_s)
    return measure(lambda seconds: window(next(supply)), spec, lambda *a: None)


def test_it_stops_when_three_windows_in_a_row_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured([100, 150, 149, 151, 90], monkeypatch)
    assert found.stable
    assert [w.images for w in found.windows] == [100, 150, 149, 151]
    assert [w.images for w in found.reported] == [150, 149, 151]


def test_two_that_agree_are_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured([100, 100, 50, 100, 100, 100], monkeypatch)
    assert len(found.windows) == 6


def test_when_time_is_up_it_is_marked_unstable(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured([100, 200, 300, 400, 500, 600], monkeypatch, max_s=1e-9)
    assert not found.stable
    assert len(found.windows) == 3, "three windows even when the time is already up"


def test_it_goes_on_until_every_process_has_done_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measurement, "warm_up", lambda *a: 0.0)
    spec = BenchmarkSpec(artifact="x", max_s=1e9, least_samples=1024)
    found = measure(lambda seconds: window(100), spec, lambda *a: None)
    assert found.stable
    assert len(found.windows) == 11, "the first count of 100s that is not under 1024"
