"""Measuring sessions on a simulated machine that changes its speed; no real time passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from engine.benchmark.measurement import measure
from engine.benchmark.session import (
    MIN_ROUNDS,
    SessionRecord,
    SessionRules,
    run_rounds,
    throughput_interval,
)
from engine.benchmark.windows import Window
from engine.errors import BenchmarkFailed
from engine.specs import BenchmarkSpec

RULES = SessionRules(window_s=0.2, max_s=90.0, ratio_tolerance=0.03, tolerance=0.05)
SPEED_UP = 1.25
SESSIONS = 400


@dataclass
class TwoSpeedMachine:
    """A machine that is in either of two states for exponential times; `noise`: of each window."""

    seed: int
    mean_s: tuple[float, float] = (8.0, 5.0)
    speeds: tuple[float, float] = (900.0, 513.0)
    noise: float = 0.035
    now: float = 0.0
    random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.state = int(self.random.random() < self.mean_s[1] / sum(self.mean_s))
        self.left = self.random.exponential(self.mean_s[self.state])

    def clock(self) -> float:
        return self.now

    def pass_time(self, seconds: float) -> float:
        """Lets time pass; the mean speed meanwhile."""
        work, left = 0.0, seconds
        while left > 0:
            step = min(left, self.left)
            work += step * self.speeds[self.state]
            left, self.left = left - step, self.left - step
            if self.left <= 1e-12:
                self.state = 1 - self.state
                self.left = self.random.exponential(self.mean_s[self.state])
        self.now += seconds
        return work / seconds

    def build(self, relative: float) -> Callable[[float], Window]:
        """A build of this relative speed, as a function that measures one window."""

        def take(seconds: float) -> Window:
            self.pass_time(0.25)  # start, pause, speedometer, requests that are not counted
            rate = self.pass_time(seconds) * relative * math.exp(self.random.normal(0, self.noise))
            return Window(seconds, round(rate * seconds), np.array([1e3 / rate]))

        return take


def session(machine: TwoSpeedMachine, *relative: float) -> SessionRecord:
    record = SessionRecord()
    builds = {number: machine.build(speed) for number, speed in enumerate(relative)}
    run_rounds(builds, RULES, record, clock=machine.clock)
    return record


@pytest.mark.parametrize("mean_s", [(8.0, 5.0), (60.0, 40.0)])
def test_intervals_of_ratios_cover_and_equal_builds_are_equal(mean_s: tuple[float, float]) -> None:
    covered = called_different = 0
    for seed in range(SESSIONS):
        record = session(TwoSpeedMachine(seed, mean_s), 1.0, 1.0, SPEED_UP)
        same, faster = record.ratio(1, 0), record.ratio(2, 0)
        assert same is not None
        assert faster is not None
        assert faster.low is not None
        assert faster.high is not None
        called_different += bool(same.significant)
        covered += faster.low <= SPEED_UP <= faster.high
    assert 0.93 <= covered / SESSIONS <= 0.97
    assert 0.03 <= called_different / SESSIONS <= 0.07


def test_builds_measured_one_after_another_are_called_different_far_too_often() -> None:
    """The protocol for one build at a time: windows until three agree, and their range."""
    called_different = 0
    for seed in range(SESSIONS):
        machine = TwoSpeedMachine(seed)
        ranges = []
        for _ in range(2):
            machine.pass_time(2.0)  # the start of the next process
            spec = BenchmarkSpec(artifact="x", max_s=1e9)
            found = measure(machine.build(1.0), spec, lambda *progress: None)
            rates = [window.images_per_s for window in found.reported]
            ranges.append((min(rates), max(rates)))
        (low, high), (other_low, other_high) = ranges
        called_different += low > other_high or other_low > high
    assert called_different / SESSIONS > 0.3


def test_the_throughput_interval_covers_where_the_states_are_short() -> None:
    """With both states met many times in a session; a state of minutes no session can know of."""
    covered = 0
    for seed in range(SESSIONS):
        machine = TwoSpeedMachine(seed, mean_s=(2.0, 1.2))
        take = machine.build(1.0)
        windows = []
        for _ in range(20):
            windows.append(take(0.5))
            machine.pass_time(1.2)
        interval = throughput_interval(windows)
        assert interval is not None
        mean = (2.0 * 900 + 1.2 * 513) / 3.2
        covered += interval[0] <= mean <= interval[1]
    assert 0.90 <= covered / SESSIONS <= 0.99


def test_a_steady_machine_needs_the_fewest_rounds() -> None:
    record = session(TwoSpeedMachine(0, mean_s=(1e9, 1e-9), noise=0.002), 1.0, SPEED_UP)
    assert record.rounds == MIN_ROUNDS
    ratio = record.ratio(1, 0)
    assert ratio is not None
    assert ratio.ratio == pytest.approx(SPEED_UP, rel=0.01)


def test_each_round_has_a_random_order_that_the_seed_decides() -> None:
    record = session(TwoSpeedMachine(0), 1.0, 1.0, 1.0)
    again = session(TwoSpeedMachine(1), 1.0, 1.0, 1.0)
    orders = [[turn.position for turn in one.turns[0][:MIN_ROUNDS]] for one in (record, again)]
    assert orders[0] == orders[1]
    assert len(set(orders[0])) > 1


def test_a_build_that_fails_ends_alone() -> None:
    machine = TwoSpeedMachine(0)
    calls = []

    def fails_in_the_third_round(seconds: float) -> Window:
        calls.append(seconds)
        if len(calls) == 3:
            raise BenchmarkFailed("It broke.")
        return machine.build(1.0)(seconds)

    record = SessionRecord()
    builds = {0: machine.build(1.0), 1: fails_in_the_third_round, 2: machine.build(SPEED_UP)}
    run_rounds(builds, RULES, record, clock=machine.clock)
    assert record.failures == {1: "It broke."}
    assert len(record.turns[1]) == 2
    assert len(record.turns[0]) == len(record.turns[2]) == record.rounds >= MIN_ROUNDS


def test_all_builds_fail() -> None:
    def broken(seconds: float) -> Window:
        raise BenchmarkFailed("It broke.")

    record = SessionRecord()
    run_rounds({0: broken, 1: broken}, RULES, record)
    assert set(record.failures) == {0, 1}
    assert not record.turns


def test_one_round_gives_a_figure_without_an_interval() -> None:
    machine = TwoSpeedMachine(0)
    record = SessionRecord()
    rules = SessionRules(window_s=0.5, max_s=0.1, ratio_tolerance=0.03, tolerance=0.05)
    builds = {0: machine.build(1.0), 1: machine.build(SPEED_UP)}
    run_rounds(builds, rules, record, clock=machine.clock)
    assert record.rounds == 1
    ratio = record.ratio(1, 0)
    assert ratio is not None
    assert (ratio.low, ratio.high, ratio.significant) == (None, None, None)
    assert throughput_interval([turn.window for turn in record.turns[0]]) is None


def test_rounds_go_on_from_a_record() -> None:
    machine = TwoSpeedMachine(0)
    builds = {0: machine.build(1.0), 1: machine.build(SPEED_UP)}
    first = SessionRecord(launches=1)
    short = SessionRules(window_s=0.5, max_s=3.0, ratio_tolerance=0.001, tolerance=0.05)
    run_rounds(builds, short, first, clock=machine.clock)
    done = first.rounds
    first.launches += 1
    longer = SessionRules(window_s=0.5, max_s=6.0, ratio_tolerance=0.001, tolerance=0.05)
    run_rounds(builds, longer, first, clock=machine.clock)
    numbers = [turn.number for turn in first.turns[0]]
    assert numbers == list(range(first.rounds))
    assert [turn.launch for turn in first.turns[0]] == [1] * done + [2] * (first.rounds - done)


def test_least_images_are_measured_of_every_build() -> None:
    machine = TwoSpeedMachine(0, mean_s=(1e9, 1e-9), noise=0.001)
    rules = SessionRules(0.5, 1e9, ratio_tolerance=0.03, tolerance=0.05, least_images=9000)
    record = SessionRecord()
    builds = {0: machine.build(1.0), 1: machine.build(0.5)}
    run_rounds(builds, rules, record, clock=machine.clock)
    assert sum(turn.window.images for turn in record.turns[1]) >= 9000
    assert 39 <= record.rounds <= 42
