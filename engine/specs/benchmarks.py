"""How speed is measured, and what takes the time."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from engine.common.digests import data_digest
from engine.common.untrusted import MAX_INTEGER
from engine.specs.base import Spec
from engine.specs.builds import BuildSpec

CPU_PROVIDER = "CPUExecutionProvider"
DEFAULT_RUNTIME = "onnxruntime"
WINDOW_S = 1.0
SEARCH_TIMES = 4
"""Of the longest time of a benchmark: scenario server without a rate searches for so long."""


class Scenario(StrEnum):
    """How requests come: the next after the last, or as in a scenario of MLPerf Inference."""

    CLOSED_LOOP = "closed-loop"
    SINGLE_STREAM = "single-stream"
    OFFLINE = "offline"
    SERVER = "server"


class MeasuredSpec(Spec):
    """Base of what is measured in a runtime.

    The default runtime is left out of the JSON, and so of every key made of it: measurements of
    before there was a choice keep theirs.
    """

    runtime: str = Field(DEFAULT_RUNTIME, exclude_if=lambda name: name == DEFAULT_RUNTIME)


class BenchmarkSpec(MeasuredSpec):
    """How a build's speed is measured. Either `build` (a recipe) or `artifact` (a digest).

    `rate_per_s` and `limit_ms` are of scenario server: requests that arrive in a second (None:
    search the highest that keeps the limit), and the p99 that must hold. With `reuse` an equal
    measurement of before, on an equal machine, is taken instead of a new one.
    """

    build: BuildSpec | None = None
    artifact: str | None = None
    batch: int = Field(1, ge=1, le=4096)
    threads: int = Field(0, ge=0, le=1024, description="0: all usable cores")
    instances: int = Field(1, ge=1, le=256, description="requests in flight in each process")
    processes: int = Field(1, ge=1, le=64)
    least_samples: int = Field(
        0, ge=0, le=MAX_INTEGER, description="images each process does at least"
    )
    provider: str = CPU_PROVIDER
    window_s: float = Field(WINDOW_S, gt=0)
    max_s: float = Field(30.0, gt=0)
    tolerance: float = Field(0.05, gt=0, lt=1)
    scenario: Scenario = Scenario.CLOSED_LOOP
    rate_per_s: float | None = Field(None, gt=0)
    limit_ms: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0, le=MAX_INTEGER, description="of the arrivals of scenario server")
    reuse: bool = False

    @model_validator(mode="after")
    def _scenario_holds_together(self) -> BenchmarkSpec:
        wrong = scenario_problem(
            self.scenario, self.batch, self.instances, self.rate_per_s, self.limit_ms
        )
        if wrong is None and self.scenario in NEEDS_ONE_PROCESS and self.processes > 1:
            wrong = f"Scenario {self.scenario} runs in one process."
        if wrong is not None:
            raise ValueError(wrong)
        return self

    def setting(self) -> str:
        """Digest of all that decides the measurement, but the build itself."""
        return data_digest(self.model_dump(mode="json", exclude={"build", "artifact", "reuse"}))


NEEDS_ONE_PROCESS = (Scenario.SINGLE_STREAM, Scenario.OFFLINE, Scenario.SERVER)


def scenario_problem(
    scenario: Scenario, batch: int, instances: int, rate_per_s: float | None, limit_ms: float | None
) -> str | None:
    """Why a scenario cannot be measured this way, in one sentence; None where it can."""
    if scenario == Scenario.SINGLE_STREAM and (batch, instances) != (1, 1):
        return (
            "Scenario single-stream is one image at a time: it takes batch 1 and one request in "
            "flight."
        )
    if scenario == Scenario.SERVER and limit_ms is None:
        return "Scenario server needs a limit on the p99 of its latency, in ms."
    if scenario != Scenario.SERVER and (rate_per_s is not None or limit_ms is not None):
        return "A rate of arrivals and a limit on the p99 belong to scenario server."
    return None


class PeakSpec(Spec):
    """Numbers of threads for which the machine's own peak is measured."""

    threads: tuple[int, ...] = Field(min_length=1)


class ProfileSpec(Spec):
    """Whose time is told node by node. Either `build` (a recipe) or `artifact` (a digest)."""

    build: BuildSpec | None = None
    artifact: str | None = None
    batch: int = Field(1, ge=1, le=4096)
    threads: int = Field(0, ge=0, le=1024, description="0: all usable cores")
    provider: str = CPU_PROVIDER
    seconds: float = Field(6.0, gt=0, le=600, description="of running, half of it profiled")
