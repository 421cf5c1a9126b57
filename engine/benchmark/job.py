"""The benchmark job: loads one artifact, measures it, and writes its row."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from db.models import Artifact, Benchmark
from db.session import reading, writing
from engine.benchmark.interference import Seen, Watch
from engine.benchmark.loaded_model import Alone, Member
from engine.benchmark.measurers import MEASURERS, Task
from engine.benchmark.metrics import Outcome, keep_latencies
from engine.benchmark.placement import nodes_elsewhere
from engine.benchmark.processes import Team
from engine.benchmark.reuse import find_before
from engine.benchmark.scenarios.definitions import CLOSED_LOOP, asked_label
from engine.build.int8.saturation import overflow_warning
from engine.build.lookup import artifact_of
from engine.common import environment
from engine.common.environment import MachineFacts
from engine.config import settings
from engine.errors import BenchmarkFailed
from engine.jobs.context import JobContext
from engine.jobs.results import JobResult
from engine.runtimes import registry
from engine.specs import BenchmarkSpec
from engine.store import artifacts
from engine.store.manifest import ExportManifest
from engine.store.protocols import BenchmarkProtocol


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: measures, stores the raw latencies and the result row."""
    spec = BenchmarkSpec.model_validate(params)
    artifact = artifact_of(spec, context.url)
    spec = _in_its_batch(spec, artifact, context)
    surroundings = environment.observe_machine()
    threads = threads_of(spec)
    before = (
        find_before(
            artifact.digest, surroundings.digest, spec.conditions_key(), threads, context.url
        )
        if spec.reuse
        else None
    )
    if before is not None:
        return _reused(before, context)
    context.stage(f"Loading {artifact.model_id} {artifact.precision} on {spec.provider}.")
    with _load(spec, artifact, threads) as loaded:
        context.stage(_stage(spec, threads))
        watch = Watch(loaded.cpu_s)
        task = Task(loaded, spec, artifact, context, watch)
        outcome = MEASURERS[spec.scenario](task)
        row = _row(task, outcome, watch.seen(), surroundings, threads)
    with writing(context.url) as session:
        session.add(row)
    noise = BenchmarkProtocol.of(row).noise_text
    elsewhere = nodes_elsewhere(loaded.nodes, spec.provider)
    overflow = overflow_warning(artifact)
    context.say(
        outcome.said
        + (f" Noisy: {noise}." if noise else "")
        + (f" Beware: {overflow}." if overflow else "")
        + (f" Note that {elsewhere}." if elsewhere else "")
    )
    return _result(row).dump()


def _result(row: Benchmark) -> JobResult:
    return JobResult(benchmark=row.id, images_per_s=row.images_per_s, stable=row.stable)


def _in_its_batch(spec: BenchmarkSpec, artifact: Artifact, context: JobContext) -> BenchmarkSpec:
    """The spec at the only batch that the model takes, measured once for all that were asked."""
    batch = ExportManifest.of(artifact).fixed_batch
    if batch is None or batch == spec.batch:
        return spec
    context.say(f"{artifact.model_id} takes batches of {batch} only: measured at that batch.")
    try:
        return BenchmarkSpec.model_validate({**spec.to_json(), "batch": batch, "reuse": True})
    except ValidationError as error:
        raise BenchmarkFailed(
            f"{artifact.model_id} takes batches of {batch} only, and scenario {spec.scenario} "
            f"takes one image at a time: choose scenario {CLOSED_LOOP}."
        ) from error


def threads_of(spec: BenchmarkSpec) -> int:
    """Threads of each instance: as asked, else the cores shared out among all instances."""
    return spec.threads or max(1, settings().threads // (spec.instances * spec.processes))


def _reused(benchmark_id: int, context: JobContext) -> dict[str, Any]:
    with reading(context.url) as session:
        row = session.get_one(Benchmark, benchmark_id)
    context.say(f"Measured before, as benchmark {row.id}: {row.images_per_s:,.1f} images/s.")
    return _result(row).model_copy(update={"reused": True}).dump()


def _load(spec: BenchmarkSpec, artifact: Artifact, threads: int) -> Alone | Team:
    side = artifacts.preprocess_of(artifact).crop
    members = [
        Member(
            runtime=spec.runtime,
            path=artifacts.model_path(artifact.digest),
            precision=artifact.precision,
            provider=spec.provider,
            threads=threads,
            instances=spec.instances,
            shape=(spec.batch, 3, side, side),
            seed=number,
        )
        for number in range(spec.processes)
    ]
    return Team(members) if spec.processes > 1 else Alone(members[0])


def _stage(spec: BenchmarkSpec, threads: int) -> str:
    scenario = asked_label(spec)
    processes = f" in {spec.processes} processes" if spec.processes > 1 else ""
    flight = f", {spec.instances} requests in flight" if spec.instances > 1 else ""
    named = f" ({scenario})" if scenario != CLOSED_LOOP else ""
    each = f"{threads} thread{'' if threads == 1 else 's'}"
    return f"Measuring at batch {spec.batch}, {each}{flight}{processes}{named}."


def _row(
    task: Task, outcome: Outcome, seen: Seen, surroundings: MachineFacts, threads: int
) -> Benchmark:
    spec, loaded, context = task.spec, task.loaded, task.context
    conditions = {
        "setting": spec.conditions_key(),
        "nodes": loaded.nodes,
        "load_1min_before": surroundings.load_1min,
        "during": seen.facts(),
        "noise": list(seen.reasons()),
    }
    return Benchmark(
        job_id=context.job_id,
        artifact_digest=task.artifact.digest,
        environment_digest=environment.record(surroundings, context.url),
        runtime=registry.with_version(spec.runtime),
        provider=spec.provider,
        batch=spec.batch,
        threads=threads,
        instances=spec.instances,
        load_ms=loaded.load_ms,
        first_inference_ms=loaded.first_ms,
        peak_rss_mb=loaded.peak_rss_mb,
        other_busy_cores=seen.other_busy_cores,
        latencies_path=keep_latencies(outcome.windows, f"{context.job_id}.{context.attempt}"),
        protocol=outcome.protocol.model_copy(update=conditions).dump(),
        **outcome.figures,
    )
