"""What `vamp` does: measure a build, or write the outputs of a list of inputs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from db.enums import JobStatus
from db.models import Artifact, Benchmark, Job
from db.session import reading
from engine.build.int8.saturation import overflow_warning
from engine.cli.follow import finish_job
from engine.cli.output import emit_json, note, progress_bar
from engine.config import settings
from engine.errors import ArtifactMissing, InvalidRequest
from engine.jobs.results import JobResult
from engine.preprocess import PreprocessSpec
from engine.runs.compile import benchmark_job
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import BenchmarkSpec
from engine.store import artifacts
from engine.store.database import prepare_database
from engine.store.manifest import ExportManifest
from engine.store.protocols import BenchmarkProtocol
from engine.vacc.inference import Passed, infer
from engine.vacc.npz import read_datalist
from engine.vacc.report import Figures, report


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked for: a build, how to measure it, and how to say what came of it."""

    artifact: Artifact
    asked: BenchmarkSpec
    devices: tuple[int, ...]
    layout: int
    json: bool

    def say(self, figures: Figures, document: dict[str, object]) -> None:
        """The report in the layout of the tool, or a document that holds it."""
        text = report(figures, self.layout)
        emit_json({**document, "report": text}) if self.json else print(text)


def measure(call: Call) -> int:
    """Runs a benchmark as a job, and prints its report; the exit code."""
    asked = call.asked
    job = finish_job(benchmark_job(asked))
    if job.status != JobStatus.SUCCEEDED or not job.result:
        return 1
    with reading(prepare_database()) as session:
        row = session.get(Benchmark, JobResult.from_stored(job.result).benchmark)
    if row is None:
        raise ArtifactMissing(f"The benchmark of job {job.id} is gone; run it again.")
    call.say(_figures_of(row, call, job), {"benchmark": row.id})
    noise = BenchmarkProtocol.from_row(row).interference_text
    note(
        f"Recorded as benchmark {row.id}. Preparing images is not in the time; the latency is that "
        f"of one request with {asked.instances * asked.processes} in flight."
        + ("" if row.stable else " Unstable: the windows did not agree.")
        + (f" Noisy: {noise}." if noise else "")
    )
    return 0


def _figures_of(row: Benchmark, call: Call, job: Job) -> Figures:
    with np.load(settings().home / str(row.latencies_path)) as kept:
        windows, latencies = kept["window"], kept["latency_ms"]
    reported = latencies[windows > windows.max() - BenchmarkProtocol.from_row(row).reported_windows]
    samples = int(reported.size) * row.batch
    return Figures(
        side=artifacts.preprocess_of(call.artifact).crop,
        outputs=ExportManifest.from_artifact(call.artifact).classes,
        instances=call.asked.instances,
        processes=call.asked.processes,
        devices=call.devices,
        batch=row.batch,
        samples=samples,
        elapsed_s=samples / row.images_per_s,
        latencies_ms=reported,
        started=datetime.fromtimestamp(job.started_at or 0, UTC).astimezone(),
        ended=datetime.fromtimestamp(job.ended_at or 0, UTC).astimezone(),
    )


def write_outputs(
    call: Call, spec: PreprocessSpec, datalist: Path | None, folder: Path | None
) -> int:
    """Writes one output file for each input of a list, and prints the report; the exit code."""
    if datalist is None or folder is None:
        raise InvalidRequest("--datalist and --path_output belong together; give both.")
    inputs = read_datalist(datalist)
    started = datetime.now(UTC).astimezone()
    passed = _infer(call, spec, inputs, folder)
    figures = Figures(
        side=spec.crop,
        outputs=ExportManifest.from_artifact(call.artifact).classes,
        instances=1,
        processes=1,
        devices=call.devices,
        batch=call.asked.batch,
        samples=len(inputs),
        elapsed_s=passed.elapsed_s,
        latencies_ms=passed.latencies_ms,
        started=started,
        ended=datetime.now(UTC).astimezone(),
    )
    call.say(figures, {"files": len(passed.files), "path_output": str(folder)})
    note(
        f"{len(passed.files):,} outputs are in {folder}. This time holds the reading of files and "
        f"one instance did the work: it is not recorded; leave out --datalist to measure speed."
    )
    return 0


def _infer(call: Call, spec: PreprocessSpec, inputs: list[Path], folder: Path) -> Passed:
    threads = settings().threads
    path = artifacts.model_path(call.artifact.digest)
    exact = overflow_warning(call.artifact) is not None
    runtime = OnnxSession(path, call.asked.provider, threads, exact)
    with progress_bar() as progress:
        bar = progress.add_task("Images", total=len(inputs))
        return infer(
            runtime.run,
            inputs,
            folder,
            spec,
            call.asked.batch,
            threads,
            lambda done, total: progress.update(bar, completed=done),
        )
