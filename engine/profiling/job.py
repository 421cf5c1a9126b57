"""The profile job: runs a build under the profiler, alone on the machine, and keeps its times."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np
import onnx

from engine.benchmark.interference import Watch
from engine.build.lookup import artifact_of
from engine.common import environment
from engine.config import settings
from engine.jobs.context import JobContext
from engine.jobs.results import JobResult
from engine.profiling.records import Profile, keep
from engine.profiling.summary import nodes_of, sums_of
from engine.profiling.trace import take_trace
from engine.runtimes import registry
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import DEFAULT_RUNTIME, ProfileSpec
from engine.store import artifacts
from engine.store.manifest import ExportManifest


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: traces one build and writes its profile."""
    spec = ProfileSpec.model_validate(params)
    artifact = artifact_of(spec, context.url)
    batch = ExportManifest.of(artifact).fixed_batch or spec.batch
    threads = spec.threads or settings().threads
    path = artifacts.model_path(artifact.digest)
    # Refuses a provider that would not be the one to run.
    OnnxSession(path, spec.provider, threads)
    machine = environment.observe_machine()
    digest = environment.record(machine, context.url)
    side = artifacts.preprocess_of(artifact).crop
    inputs = np.random.default_rng(0).standard_normal((batch, 3, side, side))
    context.stage(f"Profiling at batch {batch}, {threads} threads.")
    with Watch(time.process_time) as watch:
        trace = take_trace(
            path,
            spec.provider,
            threads,
            inputs.astype(np.float32),
            context.workspace,
            spec.seconds,
        )
    nodes = nodes_of(trace, onnx.load(path, load_external_data=False))
    sums = sums_of(nodes)
    keep(
        Profile(
            artifact=artifact.digest,
            model_id=artifact.model_id,
            precision=artifact.precision,
            provider=spec.provider,
            batch=batch,
            threads=threads,
            environment=digest,
            machine=machine.label,
            runtime=registry.with_version(DEFAULT_RUNTIME),
            noise=list(watch.seen().reasons()),
            made_at=time.time(),
            runs=trace.runs,
            latency_ms=trace.latency_ms,
            wall_ms=trace.wall_ms,
            nodes=nodes,
        )
    )
    context.say(
        f"{len(nodes)} nodes add up to {sums.nodes_ms:.2f} ms of {trace.wall_ms:.2f} ms; SE blocks "
        f"{sums.se_ms / sums.nodes_ms:.1%}, inserted conversions "
        f"{sums.inserted_ms / sums.nodes_ms:.1%}."
    )
    made = JobResult(profile=artifact.digest, batch=batch, threads=threads, **asdict(sums))
    return made.dump()
