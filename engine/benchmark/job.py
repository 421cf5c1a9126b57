"""The benchmark job: loads one artifact, measures it and records the result."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from db.models import Artifact, Benchmark
from db.session import reading, writing
from engine.benchmark.interference import InterferenceMonitor, InterferenceSummary
from engine.benchmark.loaded_model import LoadedModel, ProcessConfig
from engine.benchmark.measurers import MEASURERS, BenchmarkTask
from engine.benchmark.metrics import Outcome, save_latencies
from engine.benchmark.placement import nodes_on_other_providers, placement_text
from engine.benchmark.processes import ProcessGroup
from engine.benchmark.reuse import find_previous_benchmark, setting_of
from engine.benchmark.scenarios.definitions import CLOSED_LOOP, requested_label
from engine.build.int8.saturation import overflow_warning
from engine.build.lookup import artifact_of, file_for
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
from engine.text import plural


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: measures, stores the latencies and the result row."""
    spec = BenchmarkSpec.model_validate(params)
    artifact = artifact_of(spec, context.url)
    spec = _with_fixed_batch(spec, artifact, context)
    surroundings = environment.observe_machine()
    threads = threads_of(spec)
    previous_id = (
        find_previous_benchmark(
            artifact.digest, surroundings.digest, setting_of(spec), threads, context.url
        )
        if spec.reuse
        else None
    )
    if previous_id is not None:
        return _reused_result(previous_id, context)
    where = registry.label_of(spec.runtime)
    context.stage(f"Loading {artifact.model_id} {artifact.precision} in {where}.")
    with _load(spec, artifact, threads, context.url) as loaded:
        context.stage(_stage_text(spec, threads))
        monitor = InterferenceMonitor(loaded.cpu_time_s)
        task = BenchmarkTask(loaded, spec, artifact, context, monitor)
        outcome = MEASURERS[spec.scenario](task)
        row = _row(task, outcome, monitor.summary(), surroundings, threads)
    with writing(context.url) as session:
        session.add(row)
    interference = BenchmarkProtocol.from_row(row).interference_text
    elsewhere = nodes_on_other_providers(loaded.nodes, spec.provider)
    overflow, placed = overflow_warning(artifact), placement_text(loaded.nodes)
    context.say(
        outcome.summary
        + (f" {placed[0].upper()}{placed[1:]}." if placed else "")
        + (f" Interference: {interference}." if interference else "")
        + (f" Warning: {overflow}." if overflow else "")
        + (f" Note: {elsewhere}." if elsewhere else "")
    )
    return _result(row).dump()


def _result(row: Benchmark) -> JobResult:
    return JobResult(benchmark=row.id, images_per_s=row.images_per_s, stable=row.stable)


def _with_fixed_batch(
    spec: BenchmarkSpec, artifact: Artifact, context: JobContext
) -> BenchmarkSpec:
    """The spec with the only batch size that the model takes, with `reuse` so it is measured once.

    Raises BenchmarkFailed where the scenario does not allow that batch size.
    """
    batch = ExportManifest.from_artifact(artifact).fixed_batch
    if batch is None or batch == spec.batch:
        return spec
    context.say(f"{artifact.model_id} has a fixed batch size of {batch}: measured at that size.")
    try:
        return BenchmarkSpec.model_validate({**spec.to_json(), "batch": batch, "reuse": True})
    except ValidationError as error:
        raise BenchmarkFailed(
            f"{artifact.model_id} has a fixed batch size of {batch}, and scenario {spec.scenario} "
            f"sends one image at a time: choose scenario {CLOSED_LOOP}."
        ) from error


def threads_of(spec: BenchmarkSpec) -> int:
    """Intra-op threads of each session: as requested, else the cores divided by the sessions."""
    return spec.threads or max(1, settings().threads // (spec.instances * spec.processes))


def _reused_result(benchmark_id: int, context: JobContext) -> dict[str, Any]:
    with reading(context.url) as session:
        row = session.get_one(Benchmark, benchmark_id)
    context.say(f"Reused result of benchmark {row.id}: {row.images_per_s:,.1f} images/s.")
    return _result(row).model_copy(update={"reused": True}).dump()


def _load(
    spec: BenchmarkSpec, artifact: Artifact, threads: int, url: str
) -> LoadedModel | ProcessGroup:
    side = artifacts.preprocess_of(artifact).crop
    configs = [
        ProcessConfig(
            runtime=spec.runtime,
            path=file_for(spec.runtime, artifact, url),
            precision=artifact.precision,
            provider=spec.provider,
            threads=threads,
            instances=spec.instances,
            shape=(spec.batch, 3, side, side),
            seed=number,
        )
        for number in range(spec.processes)
    ]
    return ProcessGroup(configs) if spec.processes > 1 else LoadedModel(configs[0])


def _stage_text(spec: BenchmarkSpec, threads: int) -> str:
    scenario = requested_label(spec)
    processes = f", {spec.processes} processes" if spec.processes > 1 else ""
    concurrency = f", concurrency {spec.instances}" if spec.instances > 1 else ""
    suffix = f" ({scenario})" if scenario != CLOSED_LOOP else ""
    intra_op = plural(threads, "thread")
    return f"Measuring at batch {spec.batch}, {intra_op}{concurrency}{processes}{suffix}."


def _row(
    task: BenchmarkTask,
    outcome: Outcome,
    observed: InterferenceSummary,
    surroundings: MachineFacts,
    threads: int,
) -> Benchmark:
    spec, loaded, context = task.spec, task.loaded, task.context
    conditions = {
        "setting": setting_of(spec),
        "nodes": loaded.nodes,
        "load_1min_before": surroundings.load_1min,
        "during": observed.to_document(),
        "noise": list(observed.reasons()),
    }
    if loaded.settings:
        conditions["runtime_settings"] = loaded.settings
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
        first_inference_ms=loaded.first_inference_ms,
        peak_rss_mb=loaded.peak_rss_mb,
        other_busy_cores=observed.other_busy_cores,
        latencies_path=save_latencies(outcome.windows, f"{context.job_id}.{context.attempt}"),
        protocol=outcome.protocol.model_copy(update=conditions).dump(),
        **outcome.figures,
    )
