"""A benchmark at many settings: the points of a sweep, and which of them make no sense."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from engine.config import settings
from engine.runs.requests import RunRequest
from engine.specs import BenchmarkSpec, BuildSpec, scenario_problem

CROWDED = 2  # threads for each core beyond which a point measures the waiting


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of a sweep; `threads` 0 means all cores, shared out among the instances."""

    batch: int
    instances: int
    threads: int

    def threads_on(self, cores: int) -> int:
        """Threads of each instance on so many cores."""
        return self.threads or max(1, cores // self.instances)


def points_of(request: RunRequest, cores: int | None = None) -> tuple[Point, ...]:
    """Batch x instances x threads, in the order of measuring; equal ones are measured once."""
    cores = cores or settings().threads
    found: dict[tuple[int, int, int], Point] = {}
    for values in itertools.product(request.threads, request.instances, request.batches):
        point = Point(batch=values[2], instances=values[1], threads=values[0])
        found.setdefault((point.batch, point.instances, point.threads_on(cores)), point)
    return tuple(found.values())


def is_sweep(request: RunRequest) -> bool:
    """Whether each build is measured at more than one setting."""
    return len(points_of(request)) > 1


def benchmark_spec(
    request: RunRequest,
    point: Point,
    *,
    build: BuildSpec | None = None,
    artifact: str | None = None,
) -> BenchmarkSpec:
    """One benchmark of the run. A point of a sweep that was measured before is not again."""
    return BenchmarkSpec(
        build=build,
        artifact=artifact,
        batch=point.batch,
        threads=point.threads,
        instances=point.instances,
        provider=request.provider,
        max_s=request.benchmark_max_s,
        scenario=request.scenario,
        rate_per_s=request.rate_per_s,
        limit_ms=request.limit_ms,
        seed=request.arrivals_seed,
        reuse=is_sweep(request) and not request.again,
    )


def point_problems(request: RunRequest) -> Iterator[str]:
    """Why some point cannot be measured, each reason once."""
    reasons = (
        scenario_problem(
            request.scenario, point.batch, point.instances, request.rate_per_s, request.limit_ms
        )
        for point in points_of(request)
    )
    yield from dict.fromkeys(reason for reason in reasons if reason is not None)


def point_warnings(request: RunRequest, cores: int | None = None) -> Iterator[str]:
    """Points that ask for far more threads than there are cores, and those that are the same."""
    cores = cores or settings().threads
    points = points_of(request, cores)
    asked = len(request.batches) * len(request.instances) * len(request.threads)
    if len(points) < asked:
        same = asked - len(points)
        yield (
            f"{same} of {asked} points are the same as others (threads 0 means the {cores} cores "
            f"shared out among the requests in flight) and measured once."
        )
    crowded = [p for p in points if p.instances * p.threads_on(cores) > CROWDED * cores]
    if crowded:
        worst = max(crowded, key=lambda p: p.instances * p.threads_on(cores))
        yield (
            f"{len(crowded)} of {len(points)} points ask for more than {CROWDED * cores} threads "
            f"on {cores} cores (up to {worst.instances} in flight x {worst.threads_on(cores)} "
            f"threads): what they measure is mostly waiting."
        )
