"""The two modes of `vamp`: measure a build, or write the outputs of a list of inputs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from db.enums import JobStatus
from db.models import Artifact, Benchmark, Job
from db.session import reading
from engine.build.int8.saturation import overflow_warning
from engine.build.lookup import file_for
from engine.cli.follow import finish_job
from engine.cli.output import emit_json, note, progress_bar
from engine.config import settings
from engine.errors import ArtifactMissing, InvalidRequest
from engine.jobs.results import JobResult
from engine.preprocess import PreprocessSpec
from engine.runs.compile import benchmark_job
from engine.runtimes import registry
from engine.runtimes.base import LoadOptions
from engine.specs import BenchmarkSpec
from engine.store import artifacts
from engine.store.database import prepare_database
from engine.store.manifest import ExportManifest
from engine.store.protocols import BenchmarkProtocol
from engine.store.shared import fetch
from engine.vacc.inference import InferenceResult, run_inference
from engine.vacc.npz import read_datalist
from engine.vacc.report import ReportFigures, format_report


@dataclass(frozen=True, slots=True)
class VampRun:
    """A call of vamp: the build, the benchmark, and the layout of the report."""

    artifact: Artifact
    benchmark: BenchmarkSpec
    devices: tuple[int, ...]
    layout: int
    json: bool

    def print_report(self, figures: ReportFigures, document: dict[str, object]) -> None:
        """Prints the report in the layout of the tool, or a JSON document that holds it."""
        text = format_report(figures, self.layout)
        emit_json({**document, "report": text}) if self.json else print(text)


def measure(call: VampRun) -> int:
    """Runs a benchmark as a job and prints its report; returns the exit code."""
    benchmark = call.benchmark
    job = finish_job(benchmark_job([benchmark]))
    if job.status != JobStatus.SUCCEEDED or not job.result:
        return 1
    with reading(prepare_database()) as session:
        row = session.get(Benchmark, JobResult.from_stored(job.result).benchmark)
    if row is None:
        raise ArtifactMissing(
            f"The benchmark of job {job.id} does not exist any more; run it again."
        )
    call.print_report(_vamp_figures(row, call, job), {"benchmark": row.id})
    interference = BenchmarkProtocol.from_row(row).interference_text
    in_flight = benchmark.instances * benchmark.processes
    note(
        f"Recorded as benchmark {row.id}, in {row.runtime}. Image preprocessing is not included. "
        f"The latency is that of one request, with {in_flight} in flight."
        + ("" if row.stable else " Unstable: the rounds differ.")
        + (f" Interference: {interference}." if interference else "")
    )
    return 0


def _vamp_figures(row: Benchmark, call: VampRun, job: Job) -> ReportFigures:
    path = settings().home / str(row.latencies_path)
    fetch(path)
    with np.load(path) as arrays:
        windows, latencies = arrays["window"], arrays["latency_ms"]
    reported = latencies[windows > windows.max() - BenchmarkProtocol.from_row(row).reported_windows]
    samples = int(reported.size) * row.batch
    return ReportFigures(
        side=artifacts.preprocess_of(call.artifact).crop,
        outputs=ExportManifest.from_artifact(call.artifact).classes,
        instances=call.benchmark.instances,
        processes=call.benchmark.processes,
        devices=call.devices,
        batch=row.batch,
        samples=samples,
        elapsed_s=samples / row.images_per_s,
        latencies_ms=reported,
        started=datetime.fromtimestamp(job.started_at or 0, UTC).astimezone(),
        ended=datetime.fromtimestamp(job.ended_at or 0, UTC).astimezone(),
    )


def write_outputs(
    call: VampRun, spec: PreprocessSpec, datalist: Path | None, folder: Path | None
) -> int:
    """Writes one output file per input of a list and prints the report; returns the exit code."""
    if datalist is None or folder is None:
        raise InvalidRequest("--datalist and --path_output are needed together; give both.")
    inputs = read_datalist(datalist)
    started = datetime.now(UTC).astimezone()
    passed = _infer(call, spec, inputs, folder)
    figures = ReportFigures(
        side=spec.crop,
        outputs=ExportManifest.from_artifact(call.artifact).classes,
        instances=1,
        processes=1,
        devices=call.devices,
        batch=call.benchmark.batch,
        samples=len(inputs),
        elapsed_s=passed.elapsed_s,
        latencies_ms=passed.latencies_ms,
        started=started,
        ended=datetime.now(UTC).astimezone(),
    )
    call.print_report(figures, {"files": len(passed.files), "path_output": str(folder)})
    note(
        f"{len(passed.files):,} outputs are in {folder}. This time includes reading files, with "
        f"one request in flight, so it is not recorded; run without --datalist to benchmark."
    )
    return 0


def _infer(
    call: VampRun, spec: PreprocessSpec, inputs: list[Path], folder: Path
) -> InferenceResult:
    threads = settings().threads
    benchmark, exact = call.benchmark, overflow_warning(call.artifact) is not None
    session = registry.load(
        benchmark.runtime,
        file_for(benchmark.runtime, call.artifact, settings().url),
        call.artifact.precision,
        benchmark.provider,
        LoadOptions(threads, exact_sums=exact),
    )
    with progress_bar() as progress:
        bar = progress.add_task("Images", total=len(inputs))
        return run_inference(
            session.run,
            inputs,
            folder,
            spec,
            call.benchmark.batch,
            threads,
            lambda done, total: progress.update(bar, completed=done),
        )
