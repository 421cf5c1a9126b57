"""The profile job: runs a build under the profiler, as an exclusive job, and stores the times."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np
import onnx

from engine.benchmark.interference import InterferenceMonitor
from engine.build.lookup import artifact_of, file_for
from engine.common import environment
from engine.config import settings
from engine.jobs.context import JobContext
from engine.jobs.results import JobResult
from engine.profiling.records import Profile, save_profile
from engine.profiling.summary import sum_times, summarize_nodes
from engine.runtimes import registry
from engine.runtimes.base import LoadOptions
from engine.specs import ProfileSpec
from engine.store import artifacts
from engine.store.manifest import ExportManifest


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: profiles one build and stores the profile."""
    spec = ProfileSpec.model_validate(params)
    artifact = artifact_of(spec, context.url)
    batch = ExportManifest.from_artifact(artifact).fixed_batch or spec.batch
    threads = spec.threads or settings().threads
    path = artifacts.model_path(artifact.digest)
    session = registry.load(
        spec.runtime,
        file_for(spec.runtime, artifact, context.url),
        artifact.precision,
        spec.provider,
        LoadOptions(threads, batch=batch),
    )
    machine = environment.observe_machine()
    digest = environment.record(machine, context.url)
    side = artifacts.preprocess_of(artifact).crop
    inputs = np.random.default_rng(0).standard_normal((batch, 3, side, side))
    context.stage(f"Profiling at batch {batch}, {threads} threads.")
    with InterferenceMonitor(time.process_time) as monitor:
        trace = session.profile(inputs.astype(np.float32), spec.seconds)
    nodes = summarize_nodes(trace, onnx.load(path), side)
    sums = sum_times(nodes)
    save_profile(
        Profile(
            artifact=artifact.digest,
            model_id=artifact.model_id,
            precision=artifact.precision,
            provider=spec.provider,
            batch=batch,
            threads=threads,
            environment=digest,
            machine=machine.label,
            runtime=registry.with_version(spec.runtime),
            noise=list(monitor.summary().reasons()),
            made_at=time.time(),
            runs=trace.runs,
            latency_ms=trace.latency_ms,
            wall_ms=trace.wall_ms,
            nodes=nodes,
        )
    )
    context.say(
        f"{len(nodes)} nodes take {sums.nodes_ms:.2f} ms of {trace.wall_ms:.2f} ms; SE blocks "
        f"{sums.se_ms / sums.nodes_ms:.1%}, inserted conversions "
        f"{sums.inserted_ms / sums.nodes_ms:.1%}."
    )
    result = JobResult(profile=artifact.digest, batch=batch, threads=threads, **asdict(sums))
    return result.dump()
