"""`vamp`: the vendor's benchmark, by its own flags and in its own layout."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import Progress

from db.enums import JobStatus
from db.session import reading
from db.tables import Artifact, Benchmark, Job
from engine import artifacts
from engine.cli import options as o
from engine.cli.follow import finish_job
from engine.cli.output import emit_json, err, note
from engine.config import settings
from engine.database import prepare_database
from engine.errors import ArtifactMissing, InvalidRequest
from engine.preprocess import PreprocessSpec
from engine.runs.new_jobs import benchmark_job
from engine.runtimes.onnx_runtime import OnnxRuntime
from engine.specs import BenchmarkSpec
from engine.vacc.deploy import find_deployed
from engine.vacc.inference import infer
from engine.vacc.npz import read_datalist
from engine.vacc.report import Figures, report
from engine.vacc.vdsp import read_vdsp

CPU = "CPUExecutionProvider"
_BARE = {"i": "instances", "p": "processes", "b": "batch", "d": "devices"}


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("vamp")(vamp)


def vamp(
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="The prefix `vamc compile` wrote, or a digest."),
    ],
    bare: Annotated[
        list[str] | None,
        typer.Argument(help="A flag without its dash, as documents have it: `p 1`."),
    ] = None,
    vdsp_params: Annotated[
        Path | None, typer.Option("--vdsp_params", help="How images are prepared, as JSON.")
    ] = None,
    instances: Annotated[
        int | None, typer.Option("-i", min=1, help="Instances in each process. 1 if left out.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option("-p", min=1, help="Processes. 1 if left out.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("-b", min=1, help="Images a request. 1 if left out.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option("-s", help="Input shape without the batch: `[3,224,224]`.")
    ] = None,
    devices: Annotated[
        str | None, typer.Option("-d", help="Devices, `0` or `[0]`; of no effect here.")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option("--iterations", min=1, help="Images each process does at least.")
    ] = None,
    datalist: Annotated[
        Path | None, typer.Option("--datalist", help="List of input npz files, from image2npz.")
    ] = None,
    path_output: Annotated[
        Path | None, typer.Option("--path_output", help="Folder for one output npz each.")
    ] = None,
    forward_mode: Annotated[
        int | None, typer.Option("--forward_mode", help="Requests are always synchronous here.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="Type of the input; of no effect here.")
    ] = None,
    layout: Annotated[
        int, typer.Option(min=1, max=2, help="1: of 2023, with percentiles; 2: of today.")
    ] = 2,
    provider: o.Provider = CPU,
    max_seconds: o.Seconds = 30,
    json: o.Json = False,
) -> int:
    """Measures a build's speed and prints it in the layout of the vendor's tool.

    With --datalist the outputs of each input are written instead, for the decoder.

    Example: `python -m engine vamp -m deploy_weights/senet/mod --vdsp_params p.json -i 8 -b 22`
    """
    given = _with_bare(
        {"instances": instances, "processes": processes, "batch": batch, "devices": devices}, bare
    )
    url = prepare_database()
    artifact = find_deployed(model, url)
    spec = _preprocess(artifact, vdsp_params)
    _require_shape(shape, spec.crop)
    for name, value in (("--forward_mode", forward_mode), ("--dtype", dtype)):
        if value is not None:
            note(f"Note: {name} {value} has no effect here.")
    asked = BenchmarkSpec(
        artifact=artifact.digest,
        batch=int(given["batch"] or 1),
        instances=int(given["instances"] or 1),
        processes=int(given["processes"] or 1),
        least_samples=iterations or 0,
        provider=provider,
        max_s=max_seconds,
    )
    ids = _devices(given["devices"])
    if datalist is not None or path_output is not None:
        return _write_outputs(artifact, spec, asked, ids, datalist, path_output, layout, json)
    return _measure(artifact, asked, ids, layout, json)


def _with_bare(given: dict[str, object], bare: list[str] | None) -> dict[str, str | int | None]:
    words = list(bare or [])
    while words:
        flag, value = words[0], words[1] if len(words) > 1 else ""
        name = _BARE.get(flag)
        fits = re.fullmatch(r"\d+" if name != "devices" else r"\[?\d+(,\d+)*\]?", value)
        if name is None or not fits or given[name] is not None:
            raise InvalidRequest(
                f"{' '.join(words)} is not understood; flags have a dash, such as -p 1."
            )
        note(f"Note: {flag} {value} was read as -{flag} {value}.")
        given[name] = value if name == "devices" else int(value)
        words = words[2:]
    return given  # type: ignore[return-value]


def _preprocess(artifact: Artifact, vdsp_params: Path | None) -> PreprocessSpec:
    own = artifacts.preprocess_of(artifact)
    if vdsp_params is None:
        return own
    read = read_vdsp(vdsp_params, own)
    for remark in read.remarks:
        note(f"Note: {remark}")
    if read.spec.crop != own.crop:
        raise InvalidRequest(
            f"{vdsp_params.name} gives {read.spec.crop} x {read.spec.crop} pixels, and the build "
            f"takes {own.crop} x {own.crop}."
        )
    return read.spec


def _require_shape(shape: str | None, side: int) -> None:
    if shape is None:
        return
    numbers = [int(word) for word in re.findall(r"\d+", shape)]
    if not re.fullmatch(r"[\[\]\d,\s]+", shape) or numbers != [3, side, side]:
        raise InvalidRequest(f"-s is {shape[:40]}; the build takes [3,{side},{side}].")


def _devices(text: object) -> tuple[int, ...]:
    words = re.fullmatch(r"\[?(\d+(?:,\d+)*)\]?", str(text if text is not None else "0"))
    if not words:
        raise InvalidRequest(f"-d is {str(text)[:40]}; give device numbers, such as 0 or [0].")
    ids = tuple(int(word) for word in words.group(1).split(","))
    if ids != (0,):
        note(f"Note: -d {text} has no effect here: what computes is set by --provider.")
    return ids


def _measure(
    artifact: Artifact, asked: BenchmarkSpec, devices: tuple[int, ...], layout: int, json: bool
) -> int:
    job = finish_job(benchmark_job(asked))
    if job.status != JobStatus.SUCCEEDED or not job.result:
        return 1
    with reading(prepare_database()) as session:
        row = session.get(Benchmark, job.result["benchmark"])
    if row is None:
        raise ArtifactMissing(f"The benchmark of job {job.id} is gone; run it again.")
    figures = _figures_of(row, artifact, asked, devices, job)
    text = report(figures, layout)
    emit_json({"benchmark": row.id, "report": text}) if json else print(text)
    note(
        f"Recorded as benchmark {row.id}. Preparing images is not in the time; the latency is that "
        f"of one request with {asked.instances * asked.processes} in flight."
        + ("" if row.stable else " Unstable: the windows did not agree.")
    )
    return 0


def _figures_of(
    row: Benchmark, artifact: Artifact, asked: BenchmarkSpec, devices: tuple[int, ...], job: Job
) -> Figures:
    with np.load(settings().home / str(row.latencies_path)) as kept:
        windows, latencies = kept["window"], kept["latency_ms"]
    reported = latencies[windows > windows.max() - int(row.protocol["reported_windows"])]
    samples = int(reported.size) * row.batch
    return Figures(
        side=artifacts.preprocess_of(artifact).crop,
        outputs=artifact.manifest["classes"],
        instances=asked.instances,
        processes=asked.processes,
        devices=devices,
        batch=row.batch,
        samples=samples,
        elapsed_s=samples / row.images_per_s,
        latencies_ms=reported,
        started=datetime.fromtimestamp(job.started_at or 0, UTC).astimezone(),
        ended=datetime.fromtimestamp(job.ended_at or 0, UTC).astimezone(),
    )


def _write_outputs(
    artifact: Artifact,
    spec: PreprocessSpec,
    asked: BenchmarkSpec,
    devices: tuple[int, ...],
    datalist: Path | None,
    folder: Path | None,
    layout: int,
    json: bool,
) -> int:
    if datalist is None or folder is None:
        raise InvalidRequest("--datalist and --path_output belong together; give both.")
    inputs = read_datalist(datalist)
    threads = settings().threads
    runtime = OnnxRuntime(artifacts.model_path(artifact.digest), asked.provider, threads)
    started = datetime.now(UTC).astimezone()
    with Progress(console=err, transient=True) as progress:
        bar = progress.add_task("Images", total=len(inputs))
        passed = infer(
            runtime.run,
            inputs,
            folder,
            spec,
            asked.batch,
            threads,
            lambda done, total: progress.update(bar, completed=done),
        )
    figures = Figures(
        side=spec.crop,
        outputs=artifact.manifest["classes"],
        instances=1,
        processes=1,
        devices=devices,
        batch=asked.batch,
        samples=len(inputs),
        elapsed_s=passed.elapsed_s,
        latencies_ms=passed.latencies_ms,
        started=started,
        ended=datetime.now(UTC).astimezone(),
    )
    text = report(figures, layout)
    document = {"files": len(passed.files), "path_output": str(folder), "report": text}
    emit_json(document) if json else print(text)
    note(
        f"{len(passed.files):,} outputs are in {folder}. This time holds the reading of files and "
        f"one instance did the work: it is not recorded; leave out --datalist to measure speed."
    )
    return 0
