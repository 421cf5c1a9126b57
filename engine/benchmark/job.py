"""The benchmark job: measures builds in one session, or one build in a scenario of MLPerf."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from db.enums import Precision
from db.models import Artifact, Benchmark
from db.session import reading, writing
from engine.benchmark.comparison import ratio_text, speed_ratio
from engine.benchmark.interference import InterferenceMonitor
from engine.benchmark.loaded_model import LoadedModel
from engine.benchmark.measurers import MEASURERS, BenchmarkTask
from engine.benchmark.placement import nodes_on_other_providers, placement_text
from engine.benchmark.quiet import wait_until_quiet
from engine.benchmark.reuse import find_previous_benchmark, setting_of
from engine.benchmark.rows import SessionBuild, benchmark_row
from engine.benchmark.scenarios.definitions import CLOSED_LOOP, requested_label
from engine.benchmark.session_measurement import measure_session
from engine.benchmark.speedometer import Speedometer
from engine.build.int8.saturation import overflow_warning
from engine.build.lookup import artifact_of
from engine.common import environment
from engine.common.environment import MachineFacts
from engine.common.error_sentences import explain
from engine.config import settings
from engine.errors import ArtifactMissing, BenchmarkFailed, WorkbenchError
from engine.jobs.context import JobContext
from engine.jobs.results import JobResult
from engine.runtimes.registry import label_of, other_runtime
from engine.specs import BenchmarkSpec, Scenario, SessionSpec
from engine.store.manifest import ExportManifest
from engine.store.protocols import BenchmarkProtocol
from engine.text import plural

MAX_IN_SUMMARY = 4
"""Builds in the last message of a job."""


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: measures, stores the latencies and one result row for each build.

    Raises BenchmarkFailed when a build failed; the results of the others are stored before.
    """
    spec = SessionSpec.from_params(params)
    surroundings = environment.observe_machine()
    builds, failures = _find_builds(spec, context)
    reused = _reused_ids(builds, surroundings, context)
    if spec.compares and not _all_compared(reused, builds, context.url):
        reused = [None] * len(builds)
    remaining = [build for build, previous in zip(builds, reused, strict=True) if previous is None]
    if remaining and spec.quiet_wait_s:
        wait_until_quiet(spec.quiet_wait_s, context)
    ids = [number for number in reused if number is not None]
    if ids:
        context.say(f"Reused {plural(len(ids), 'result')}.")
    if spec.scenario != Scenario.CLOSED_LOOP:
        ids += [_measure_scenario(build, surroundings, context) for build in remaining]
    elif remaining:
        measured = measure_session(remaining, spec, surroundings, context)
        ids += measured.benchmarks
        failures += measured.failures
        say_results(measured.benchmarks, context)
    if failures:
        others = f" The other {plural(len(ids), 'result')} {'is' if len(ids) == 1 else 'are'} kept."
        raise BenchmarkFailed(" ".join(failures) + (others if ids else ""))
    return _result(ids, context, reused=not remaining).dump()


def _find_builds(spec: SessionSpec, context: JobContext) -> tuple[list[SessionBuild], list[str]]:
    """The builds to measure, each once, and the reasons why others cannot be.

    A build that another job was to make, and did not, is left out: that job tells why.
    Raises ArtifactMissing where no build is left.
    """
    builds: dict[tuple[object, ...], SessionBuild] = {}
    failures, missing = [], []
    for one in spec.benchmarks:
        try:
            artifact = artifact_of(one, context.url)
            fixed = _with_fixed_batch(one, artifact, context)
        except ArtifactMissing as error:
            missing.append(str(error))
            continue
        except WorkbenchError as error:
            failures.append(explain(error))
            continue
        build = SessionBuild(fixed, artifact, threads_of(fixed))
        builds.setdefault(build.identity, build)
    if not builds and not failures:
        raise ArtifactMissing(" ".join(dict.fromkeys(missing)))
    for text in dict.fromkeys(missing):
        context.say(f"Left out: {text}")
    return list(builds.values()), failures


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


def _reused_ids(
    builds: list[SessionBuild], surroundings: MachineFacts, context: JobContext
) -> list[int | None]:
    """For each build, the earlier benchmark that replaces a new one; None: measure it."""
    return [
        find_previous_benchmark(
            build.artifact.digest,
            surroundings.digest,
            setting_of(build.spec),
            build.threads,
            context.url,
        )
        if build.spec.reuse
        else None
        for build in builds
    ]


def _all_compared(ids: list[int | None], builds: list[SessionBuild], url: str) -> bool:
    """Whether all builds were measured before, each but fp32 with its ratio to fp32."""
    with reading(url) as session:
        for number, build in zip(ids, builds, strict=True):
            if number is None:
                return False
            protocol = BenchmarkProtocol.from_row(session.get_one(Benchmark, number))
            if build.artifact.precision != Precision.FP32 and protocol.speed_up is None:
                return False
    return True


def _measure_scenario(build: SessionBuild, surroundings: MachineFacts, context: JobContext) -> int:
    """Measures one build in a scenario of MLPerf Inference; the id of its benchmark."""
    spec = build.spec
    where = label_of(spec.runtime)
    context.stage(f"Loading {build.artifact.model_id} {build.artifact.precision} in {where}.")
    with LoadedModel(build.process_configs()[0]) as loaded, Speedometer() as speedometer:
        context.stage(_stage_text(build))
        monitor = InterferenceMonitor(lambda: loaded.cpu_time_s() + speedometer.cpu_time_s())
        task = BenchmarkTask(loaded, spec, build.artifact, context, monitor, speedometer)
        outcome = MEASURERS[spec.scenario](task)
        row = benchmark_row(build, outcome, loaded, monitor.summary(), surroundings, context)
    with writing(context.url) as session:
        session.add(row)
        session.flush()
        number = row.id
    context.say(outcome.summary + _remarks(row, build.artifact))
    return number


def _stage_text(build: SessionBuild) -> str:
    spec = build.spec
    concurrency = f", concurrency {spec.instances}" if spec.instances > 1 else ""
    intra_op = plural(build.threads, "thread")
    return f"Measuring at batch {spec.batch}, {intra_op}{concurrency} ({requested_label(spec)})."


def say_results(ids: list[int], context: JobContext) -> None:
    """One line for each benchmark with its remarks, then all speeds in one line."""
    with reading(context.url) as session:
        rows = [session.get_one(Benchmark, number) for number in ids]
        artifacts = [session.get_one(Artifact, row.artifact_digest) for row in rows]
    if not rows:
        return
    where = f" in {_other(rows[0])}" if _other(rows[0]) else ""
    first = f"{artifacts[0].model_id} {artifacts[0].precision}{where}"
    texts = []
    for row, artifact in zip(rows, artifacts, strict=True):
        text = f"{row.images_per_s:,.1f} images/s"
        if row is not rows[0]:
            text += f", {ratio_text(speed_ratio(row, rows[0], None))} of {first}"
        state = "" if row.stable else ": unstable, the interval between rounds is wide"
        precision = artifact.precision + (f" in {other}" if (other := _other(row)) else "")
        name = f"{artifact.model_id} {precision}, batch {row.batch}"
        context.say(f"{name}: {text}{state}.{_remarks(row, artifact)}")
        texts.append(f"{precision} {text.partition(' (')[0].partition(' of ')[0]}")
    if len(texts) > 1:
        more = len(texts) - MAX_IN_SUMMARY
        end = f"; {more} more." if more > 0 else "."
        context.say("; ".join(texts[:MAX_IN_SUMMARY]) + end)


def _other(row: Benchmark) -> str:
    return other_runtime(row.runtime)


def _remarks(row: Benchmark, artifact: Artifact) -> str:
    """Sentences on what limits a result; empty if nothing does."""
    protocol = BenchmarkProtocol.from_row(row)
    interference, overflow = protocol.interference_text, overflow_warning(artifact)
    placed = placement_text(protocol.nodes)
    elsewhere = nodes_on_other_providers(protocol.nodes, row.provider)
    return (
        (f" {placed[0].upper()}{placed[1:]}." if placed else "")
        + (f" Interference: {interference}." if interference else "")
        + (f" Warning: {overflow}." if overflow else "")
        + (f" Note: {elsewhere}." if elsewhere else "")
    )


def _result(ids: list[int], context: JobContext, *, reused: bool) -> JobResult:
    with reading(context.url) as session:
        first = session.get_one(Benchmark, ids[0])
    return JobResult(
        benchmark=first.id,
        benchmarks=ids,
        images_per_s=first.images_per_s,
        stable=first.stable,
        **({"reused": True} if reused else {}),
    )
