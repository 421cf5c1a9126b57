"""The benchmark job: loads one artifact, measures it, and writes its row."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from db.session import writing
from db.tables import Benchmark
from engine import artifacts, environment
from engine.benchmark.figures import keep_latencies, protocol_of, speed_figures
from engine.benchmark.measuring import Measured, measure
from engine.benchmark.team import Member, Team
from engine.benchmark.windows import Runners
from engine.config import settings
from engine.jobs.context import JobContext
from engine.resolve import artifact_of
from engine.runtimes.onnx_runtime import OnnxRuntime
from engine.specs import BenchmarkSpec
from engine.usage import peak_rss_mb


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: measures, stores the raw latencies and the result row."""
    spec = BenchmarkSpec.model_validate(params)
    artifact = artifact_of(spec, context.url)
    surroundings = environment.observe()
    threads = spec.threads or max(1, settings().threads // (spec.instances * spec.processes))
    context.stage(f"Loading {artifact.model_id} {artifact.precision} on {spec.provider}.")
    side = artifacts.preprocess_of(artifact).crop
    members = [
        Member(
            path=artifacts.model_path(artifact.digest),
            provider=spec.provider,
            threads=threads,
            instances=spec.instances,
            shape=(spec.batch, 3, side, side),
            seed=number,
        )
        for number in range(spec.processes)
    ]
    measured, start = _MEASURERS[spec.processes > 1](members, spec, context)
    speeds = speed_figures(measured, artifact)
    latencies = keep_latencies(measured, f"{context.job_id}.{context.attempt}")
    row = Benchmark(
        job_id=context.job_id,
        artifact_digest=artifact.digest,
        environment_digest=environment.record(surroundings, context.url),
        runtime=f"{OnnxRuntime.name} {OnnxRuntime.version}",
        provider=spec.provider,
        batch=spec.batch,
        threads=threads,
        instances=spec.instances,
        load_ms=start.load_ms,
        first_inference_ms=start.first_ms,
        peak_rss_mb=start.peak_rss_mb,
        stable=measured.stable,
        other_busy_cores=measured.other_busy_cores,
        latencies_path=latencies,
        protocol=protocol_of(measured, spec, surroundings.load_1min),
        **speeds,
    )
    with writing(context.url) as session:
        session.add(row)
    context.say(
        f"{row.images_per_s:,.1f} images/s, p50 {row.latency_p50_ms:.2f} ms"
        + ("." if row.stable else ": unstable, windows did not agree.")
    )
    return {"benchmark": row.id, "images_per_s": row.images_per_s, "stable": row.stable}


@dataclass(frozen=True, slots=True)
class Start:
    """What came before the first window, and the most memory of all processes together."""

    load_ms: float
    first_ms: float
    peak_rss_mb: float


def _alone(
    members: list[Member], spec: BenchmarkSpec, context: JobContext
) -> tuple[Measured, Start]:
    member = members[0]
    begun = time.perf_counter()
    sessions = [
        OnnxRuntime(member.path, member.provider, member.threads) for _ in range(member.instances)
    ]
    load_ms = (time.perf_counter() - begun) * 1e3 / member.instances
    batch = np.random.default_rng(member.seed).standard_normal(member.shape).astype(np.float32)
    begun = time.perf_counter()
    sessions[0].run(batch)
    first_ms = (time.perf_counter() - begun) * 1e3
    runners = [partial(session.run, batch) for session in sessions]
    measured = _observed(runners, spec, context, member.threads)
    return measured, Start(load_ms, first_ms, peak_rss_mb())


def _as_team(
    members: list[Member], spec: BenchmarkSpec, context: JobContext
) -> tuple[Measured, Start]:
    with Team(members) as team:
        measured = _observed([], spec, context, members[0].threads, team)
        return measured, Start(team.load_ms, team.first_ms, team.peak_rss_mb)


_MEASURERS = {False: _alone, True: _as_team}


def _observed(
    runners: Runners,
    spec: BenchmarkSpec,
    context: JobContext,
    threads: int,
    team: Team | None = None,
) -> Measured:
    processes = f" in {spec.processes} processes" if team else ""
    context.stage(f"Measuring at batch {spec.batch}, {threads} threads{processes}.")
    return measure(
        runners,
        spec.batch,
        spec,
        lambda elapsed, message: context.progress(
            round(elapsed), max(round(spec.max_s), round(elapsed) + 1), "s at most", message
        ),
        team,
    )
