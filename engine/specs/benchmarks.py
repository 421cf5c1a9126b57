"""Specs of benchmarks, of the machine's peak, and of per-layer profiles."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from engine.common.digests import data_digest
from engine.common.untrusted import MAX_INTEGER
from engine.specs.base import DEFAULT_RUNTIME, Spec
from engine.specs.builds import BuildSpec

CPU_PROVIDER = "CPUExecutionProvider"
WINDOW_S = 0.2
RATIO_TOLERANCE = 0.03
MAX_SESSION_BENCHMARKS = 1024
MAX_QUIET_WAIT_S = 24 * 3600.0
SEARCH_TIMES = 4
"""Scenario server without a rate may search for this multiple of the maximum duration."""


class Scenario(StrEnum):
    """How requests are issued: in a closed loop, as in a scenario of MLPerf Inference, or on files.

    End to end, a request includes reading, decoding and preprocessing of image files.
    """

    CLOSED_LOOP = "closed-loop"
    SINGLE_STREAM = "single-stream"
    OFFLINE = "offline"
    SERVER = "server"
    END_TO_END = "end-to-end"


class MeasuredSpec(Spec):
    """Base of the specs that are measured in a runtime.

    The default runtime is left out of the JSON, and so of all digests: those of measurements from
    before this field existed stay valid.
    """

    runtime: str = Field(DEFAULT_RUNTIME, exclude_if=lambda name: name == DEFAULT_RUNTIME)


class BenchmarkSpec(MeasuredSpec):
    """How a build's speed is measured; the build is given by `build` or by its digest, `artifact`.

    `rate_per_s` (arriving requests per second; None: search for the highest rate that meets the
    limit) and `limit_ms` (maximum p99 latency) apply to scenario server only, `dataset` (whose
    files are sent) to end-to-end only. With `reuse`, an earlier measurement under the same
    conditions on an equal machine replaces a new one.
    """

    build: BuildSpec | None = None
    artifact: str | None = None
    batch: int = Field(1, ge=1, le=4096)
    threads: int = Field(0, ge=0, le=1024, description="0: all usable cores")
    instances: int = Field(1, ge=1, le=256, description="requests in flight in each process")
    processes: int = Field(1, ge=1, le=64)
    least_samples: int = Field(
        0, ge=0, le=MAX_INTEGER, description="minimum number of images per process"
    )
    provider: str = CPU_PROVIDER
    window_s: float = Field(WINDOW_S, gt=0)
    max_s: float = Field(30.0, gt=0)
    tolerance: float = Field(
        0.05, gt=0, lt=1, description="half-width of the throughput interval of a stable result"
    )
    scenario: Scenario = Scenario.CLOSED_LOOP
    rate_per_s: float | None = Field(None, gt=0)
    limit_ms: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0, le=MAX_INTEGER, description="of the arrival times (server)")
    dataset: str | None = Field(None, exclude_if=lambda name: name is None)
    reuse: bool = False

    @model_validator(mode="after")
    def _scenario_is_consistent(self) -> BenchmarkSpec:
        problem = scenario_problem(
            self.scenario,
            self.batch,
            self.instances,
            self.rate_per_s,
            self.limit_ms,
            self.dataset,
        )
        if problem is None and self.scenario in NEEDS_ONE_PROCESS and self.processes > 1:
            problem = f"Scenario {self.scenario} runs in one process."
        if problem is not None:
            raise ValueError(problem)
        return self

    def conditions_key(self) -> str:
        """Digest of all conditions of the measurement; the build is not part of it."""
        return data_digest(self.model_dump(mode="json", exclude={"build", "artifact", "reuse"}))


class SessionSpec(Spec):
    """Builds, or settings of one build, that are measured round by round in one session.

    `seed`: of the order within a round. `ratio_tolerance`: the session ends when half the interval
    of each ratio to the first build is at most this share of the faster of the two. `compares`: a
    comparison with fp32, so earlier results replace it only where all of them have their ratio to
    fp32. `quiet_wait_s`: how long to wait for a quiet machine at most; 0: it is not waited for.
    Scenarios of MLPerf Inference are measured one at a time.
    """

    benchmarks: tuple[BenchmarkSpec, ...] = Field(min_length=1, max_length=MAX_SESSION_BENCHMARKS)
    seed: int = Field(0, ge=0, le=MAX_INTEGER)
    ratio_tolerance: float = Field(RATIO_TOLERANCE, gt=0, lt=1)
    compares: bool = Field(False, exclude_if=lambda compares: not compares)
    quiet_wait_s: float = Field(0.0, ge=0, le=MAX_QUIET_WAIT_S, exclude_if=lambda s: s == 0)

    @model_validator(mode="after")
    def _scenarios_are_alone(self) -> SessionSpec:
        scenarios = {benchmark.scenario for benchmark in self.benchmarks}
        if scenarios != {Scenario.CLOSED_LOOP} and len(self.benchmarks) > 1:
            raise ValueError("A session of several benchmarks is measured in a closed loop.")
        return self

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> SessionSpec:
        """The session of a job; a job of an earlier version holds one benchmark."""
        if "benchmarks" not in params:
            params = {"benchmarks": [params]}
        return cls.model_validate(params)

    @property
    def scenario(self) -> Scenario:
        """The scenario of all benchmarks."""
        return self.benchmarks[0].scenario

    @property
    def max_s(self) -> float:
        """Maximum duration of the rounds, in s: that of all benchmarks."""
        return sum(benchmark.max_s for benchmark in self.benchmarks)


NEEDS_ONE_PROCESS = (
    Scenario.SINGLE_STREAM,
    Scenario.OFFLINE,
    Scenario.SERVER,
    Scenario.END_TO_END,
)


def scenario_problem(
    scenario: Scenario,
    batch: int,
    instances: int,
    rate_per_s: float | None,
    limit_ms: float | None,
    dataset: str | None,
) -> str | None:
    """One sentence why the scenario cannot be measured with these options; None if it can."""
    if scenario == Scenario.SINGLE_STREAM and (batch, instances) != (1, 1):
        return (
            "Scenario single-stream sends one image at a time: use batch 1 and one request in "
            "flight."
        )
    if scenario == Scenario.SERVER and limit_ms is None:
        return "Scenario server needs a limit on the p99 latency, in ms."
    if scenario != Scenario.SERVER and (rate_per_s is not None or limit_ms is not None):
        return "An arrival rate and a limit on the p99 latency apply to scenario server only."
    if scenario == Scenario.END_TO_END and dataset is None:
        return "Scenario end-to-end sends image files: select a dataset."
    return None


class PeakSpec(MeasuredSpec):
    """The thread counts for which the machine's peak performance is measured."""

    threads: tuple[int, ...] = Field(min_length=1)


class ProfileSpec(MeasuredSpec):
    """A per-layer profile of a build, given by `build` or by its digest, `artifact`."""

    build: BuildSpec | None = None
    artifact: str | None = None
    batch: int = Field(1, ge=1, le=4096)
    threads: int = Field(0, ge=0, le=1024, description="0: all usable cores")
    provider: str = CPU_PROVIDER
    seconds: float = Field(6.0, gt=0, le=600, description="run time; half of it is profiled")
