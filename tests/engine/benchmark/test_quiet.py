"""Waiting for a quiet machine: it ends when it is quiet, or at its bound with what disturbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from engine.benchmark.interference import Sample
from engine.benchmark.quiet import INTERVAL_S, QUIET_S, wait_until_quiet
from engine.errors import BenchmarkFailed
from engine.specs import BenchmarkSpec, SessionSpec


class Machine:
    """Others use `cores[i]` in the i-th interval; the last one repeats."""

    def __init__(self, *cores: float) -> None:
        self.said: list[str] = []
        self.busy = 0.0
        self.numbers: Iterator[int] = count()
        self.cores = cores
        self.free: Iterator[bool] = iter(())

    def sample(self) -> Sample:
        number = next(self.numbers)
        if number:
            self.busy += INTERVAL_S * self.cores[min(number, len(self.cores)) - 1]
        return Sample(INTERVAL_S * number, self.busy, 0.0, 0.0, None, 0.0)

    def processes(self) -> dict[int, tuple[str, float]]:
        return {7: ("backup", self.busy)}

    def wait(self, max_s: float) -> None:
        say: Callable[..., Any] = lambda *words: self.said.append(str(words[-1]))  # noqa: E731
        context: Any = SimpleNamespace(
            stage=say,
            say=say,
            progress=say,
            release_machine=lambda: self.said.append("released"),
            take_machine=lambda: next(self.free, True),
        )
        wait_until_quiet(
            max_s,
            context,
            sample=self.sample,
            processes=self.processes,
            sleep=lambda seconds: None,
        )


def test_it_waits_until_the_machine_has_been_quiet_for_a_while() -> None:
    machine = Machine(1.5, 1.5, 0.1, 0.0)
    machine.wait(600)
    assert any("backup 1.50" in text for text in machine.said), "it names what disturbs"
    waited = 2 * INTERVAL_S + QUIET_S
    assert f"quiet after {waited:.0f} s" in machine.said[-1]


def test_other_jobs_may_use_the_machine_meanwhile() -> None:
    machine = Machine(0.0)
    machine.free = iter([False, True])
    machine.wait(600)
    assert "released" in machine.said
    assert "Waiting for quiet: another job has the machine." in machine.said
    assert f"quiet after {QUIET_S + INTERVAL_S:.0f} s" in machine.said[-1]


def test_it_fails_at_its_bound_and_names_what_disturbs() -> None:
    with pytest.raises(BenchmarkFailed, match=r"not quiet within 20 s.*backup 0\.80.*Nothing was"):
        Machine(0.8).wait(20)


def test_sessions_without_a_wait_keep_their_digest() -> None:
    plain = SessionSpec(benchmarks=(BenchmarkSpec(artifact="a"),))
    assert "quiet_wait_s" not in plain.to_json()
    waiting = plain.model_copy(update={"quiet_wait_s": 60.0})
    assert SessionSpec.from_params(waiting.to_json()).quiet_wait_s == 60.0
    assert waiting.fingerprint() != plain.fingerprint()
