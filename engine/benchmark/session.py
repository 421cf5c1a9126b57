"""A measuring session: rounds over all builds, in a random order, until their ratios are narrow.

In each round every build has one window, so that a machine that changes its speed does so for all
of them. The ratio of two builds is taken round by round; the figures of one build are taken over
all of its rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.benchmark.windows import Window
from engine.common.error_sentences import explain
from engine.common.ratios import SpeedRatio, block_intervals, paired_ratio

MIN_ROUNDS = 8
TakeWindow = Callable[[float], Window]


@dataclass(frozen=True, slots=True)
class SessionRules:
    """When a session ends; times in s.

    `ratio_tolerance`: half-width of the interval of each ratio to the first build, as a share of
    the faster of the two; `tolerance`: relative half-width of the throughput interval, where there
    is one build only; `least_images`: minimum number of images of each build.
    """

    window_s: float
    max_s: float
    ratio_tolerance: float
    tolerance: float
    least_images: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """One window of one build: the round, the start of the processes, the place in the round.

    `machine_gflops`: the reading of the speedometer before it.
    """

    number: int
    launch: int
    position: int
    window: Window
    machine_gflops: float | None = None


@dataclass(slots=True)
class SessionRecord:
    """All that a session has measured so far: `turns` by build, in the order of the rounds.

    `spent_s`: duration of all rounds; `launches`: how often the processes were started; `failures`:
    one sentence for each build that failed.
    """

    turns: dict[int, list[Turn]] = field(default_factory=dict)
    rounds: int = 0
    launches: int = 0
    spent_s: float = 0.0
    failures: dict[int, str] = field(default_factory=dict)

    def ratio(self, build: int, reference: int) -> SpeedRatio | None:
        """The ratio of two builds over the rounds that both have; None without such a round."""
        rates, references = (
            {turn.number: turn.window.images_per_s for turn in self.turns.get(key, ())}
            for key in (build, reference)
        )
        shared = [number for number in rates if number in references]
        if not shared:
            return None
        return paired_ratio([rates[n] for n in shared], [references[n] for n in shared])


def run_rounds(
    builds: Mapping[int, TakeWindow],
    rules: SessionRules,
    record: SessionRecord,
    *,
    read_speed: Callable[[], float] | None = None,
    clock: Callable[[], float] = time.monotonic,
    after_round: Callable[[SessionRecord], None] = lambda record: None,
) -> None:
    """Takes rounds into `record` until `rules` are met; a build that fails has no further turns.

    `builds`: a function that measures one window, by build; the first one is the reference.
    `after_round` is called with the record after each round. Ends early when no build is left.
    """
    running = {key: take for key, take in builds.items() if key not in record.failures}
    while running:
        begun = clock()
        order = np.random.default_rng([rules.seed, record.rounds]).permutation(sorted(running))
        for position, key in enumerate(int(key) for key in order):
            reading = read_speed() if read_speed is not None else None
            try:
                window = running[key](rules.window_s)
            except Exception as error:
                record.failures[key] = explain(error)
                del running[key]
                continue
            record.turns.setdefault(key, []).append(
                Turn(record.rounds, record.launches, position, window, reading)
            )
        record.rounds += 1
        record.spent_s += clock() - begun
        after_round(record)
        if record.spent_s >= rules.max_s or _is_precise(record, list(running), rules):
            return


def _is_precise(record: SessionRecord, running: list[int], rules: SessionRules) -> bool:
    turns = [record.turns[key] for key in running]
    if not turns:
        return True
    if min(len(own) for own in turns) < MIN_ROUNDS:
        return False
    if any(sum(turn.window.images for turn in own) < rules.least_images for own in turns):
        return False
    if len(running) == 1:
        interval = throughput_interval([turn.window for turn in turns[0]])
        return is_stable(interval, rules.tolerance)
    ratios = (record.ratio(key, running[0]) for key in running[1:])
    return all(ratio and ratio.uncertainty <= rules.ratio_tolerance for ratio in ratios)


def throughput_interval(windows: Sequence[Window]) -> tuple[float, float] | None:
    """95 % interval of the throughput over all windows, in images/s; None for too few."""
    images = np.array([window.images for window in windows], float)
    elapsed = np.array([window.elapsed_s for window in windows])
    found = block_intervals(
        len(windows), lambda drawn: [float(images[drawn].sum() / elapsed[drawn].sum())]
    )
    return found[0] if found else None


def is_stable(interval: tuple[float, float] | None, tolerance: float) -> bool:
    """Whether half the interval is at most `tolerance` of its middle; False without one."""
    if interval is None:
        return False
    low, high = interval
    return (high - low) / (high + low) <= tolerance
