"""The file of a running session."""

from __future__ import annotations

import numpy as np
import pytest

from engine.benchmark.checkpoint import SessionCheckpoint
from engine.benchmark.interference import Sample, merge_summaries, summarize
from engine.benchmark.session import Turn
from engine.benchmark.windows import Window


def summary(other_s: float, mhz: float | None = 2000.0):
    samples = [
        Sample(0.0, 0.0, 0.0, 0.0, mhz, 0.5),
        Sample(10.0, 10.0 + other_s, 10.0, 0.0, mhz, 0.7),
    ]
    return summarize(samples, (("other", other_s / 10),))


def test_what_is_saved_is_loaded() -> None:
    saved = SessionCheckpoint.load("k")
    saved.record.turns = {
        0: [Turn(0, 1, 1, Window(0.5, 3, np.array([1.0, 2.0, 3.0])), 80.5)],
        2: [
            Turn(0, 1, 0, Window(0.4, 1, np.array([9.0]))),
            Turn(1, 2, 0, Window(0.4, 0, np.empty(0))),
        ],
    }
    saved.record.rounds, saved.record.launches, saved.record.spent_s = 2, 2, 1.5
    saved.save(summary(1.0))
    loaded = SessionCheckpoint.load("k")
    assert loaded.session == saved.session
    assert (loaded.record.rounds, loaded.record.launches, loaded.record.spent_s) == (2, 2, 1.5)
    assert loaded.interference == [summary(1.0)]
    first, second = loaded.record.turns[0][0], loaded.record.turns[2][1]
    assert first.window.latencies_ms.tolist() == [1.0, 2.0, 3.0]
    assert (first.position, first.machine_gflops) == (1, 80.5)
    assert (second.number, second.launch, second.machine_gflops) == (1, 2, None)
    loaded.remove()
    assert SessionCheckpoint.load("k").record.rounds == 0


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 half"])
def test_a_damaged_file_begins_anew(content: bytes) -> None:
    path = SessionCheckpoint.load("k").path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert SessionCheckpoint.load("k").record.rounds == 0


def test_stretches_of_time_are_merged_by_their_samples() -> None:
    merged = merge_summaries([summary(0.0, 2000.0), summary(4.0, 1500.0)])
    assert merged.other_busy_cores == pytest.approx(0.2)
    assert merged.max_other_busy_cores == pytest.approx(0.4)
    assert (merged.mhz_low, merged.mhz_high) == (1500.0, 2000.0)
    assert merged.others == (("other", pytest.approx(0.2)),)
    assert any("clock changed" in reason for reason in merged.reasons())
    assert merge_summaries([summary(1.0, None)]) == summary(1.0, None)
