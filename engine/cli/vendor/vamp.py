"""`vamp`: a benchmark with the options and the report layout of the vendor's tool."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from db.models import Artifact
from engine.cli import options as o
from engine.cli.output import note
from engine.cli.parsing import possible_runtimes
from engine.cli.vendor.vamp_runs import VampRun, measure, write_outputs
from engine.errors import InvalidRequest
from engine.preprocess import PreprocessSpec
from engine.runtimes.registry import RUNTIMES
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME, BenchmarkSpec
from engine.store import artifacts
from engine.store.database import prepare_database
from engine.vacc.deploy import find_deployed
from engine.vacc.vdsp import read_vdsp

Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="Prefix written by `vamc compile`, or the digest of a build."
    ),
]
UndashedFlags = Annotated[
    list[str] | None,
    typer.Argument(help="An option without its dash, as in the vendor's documents: `p 1`."),
]
VdspParams = Annotated[
    Path | None,
    typer.Option(
        "--vdsp_params",
        help="JSON file with the preprocessing (vdsp parameters). Default: that of the build.",
    ),
]
Instances = Annotated[
    int | None,
    typer.Option("-i", min=1, help="Requests in flight in each process (instances). Default: 1."),
]
Processes = Annotated[
    int | None, typer.Option("-p", min=1, help="Number of processes. Default: 1.")
]
Batch = Annotated[
    int | None, typer.Option("-b", min=1, help="Batch size: images per request. Default: 1.")
]
Shape = Annotated[
    str | None,
    typer.Option(
        "-s",
        help="Input shape without the batch size, such as `[3,224,224]`; it must match the build.",
    ),
]
Devices = Annotated[
    str | None,
    typer.Option("-d", help="Device numbers, `0` or `[0]`; no effect here (see --provider)."),
]
Iterations = Annotated[
    int | None, typer.Option("--iterations", min=1, help="Minimum number of images per process.")
]
Datalist = Annotated[
    Path | None, typer.Option("--datalist", help="List of input npz files, written by image2npz.")
]
PathOutput = Annotated[
    Path | None,
    typer.Option("--path_output", help="Folder for the outputs: one npz file per input."),
]
ForwardMode = Annotated[
    int | None,
    typer.Option("--forward_mode", help="No effect here: requests are always synchronous."),
]
Dtype = Annotated[str | None, typer.Option("--dtype", help="Input type; no effect here.")]
Runtime = Annotated[
    str,
    typer.Option(
        "--runtime",
        "-r",
        help=f"Runtime of the benchmark and of the outputs: {', '.join(RUNTIMES)}. The vendor's "
        "tool has no such option.",
    ),
]
Layout = Annotated[
    int,
    typer.Option(
        min=1,
        max=2,
        help="Layout of the report: 1 is that of 2023, with percentiles; 2 is the current one.",
    ),
]


_UNDASHED_FLAGS = {"i": "instances", "p": "processes", "b": "batch", "d": "devices"}


def vamp(
    model: Model,
    undashed: UndashedFlags = None,
    vdsp_params: VdspParams = None,
    instances: Instances = None,
    processes: Processes = None,
    batch: Batch = None,
    shape: Shape = None,
    devices: Devices = None,
    iterations: Iterations = None,
    datalist: Datalist = None,
    path_output: PathOutput = None,
    forward_mode: ForwardMode = None,
    dtype: Dtype = None,
    layout: Layout = 2,
    runtime: Runtime = DEFAULT_RUNTIME,
    provider: o.Provider = CPU_PROVIDER,
    max_seconds: o.MaxDuration = 30,
    json: o.Json = False,
) -> int:
    """Benchmarks a build and prints the report in the layout of the vendor's tool.

    Latencies in the report are in microseconds. With --datalist and --path_output the build runs
    once over a list of inputs, and its outputs are written for `vamp_npz_decode`.

    Example: `python -m engine vamp -m deploy_weights/senet/mod --vdsp_params p.json -i 8 -b 22`
    """
    counts = _with_undashed(
        {"instances": instances, "processes": processes, "batch": batch, "devices": devices},
        undashed,
    )
    url = prepare_database()
    artifact = find_deployed(model, url)
    spec = _preprocess(artifact, vdsp_params)
    _require_shape(shape, spec.crop)
    _note_ignored({"--forward_mode": forward_mode, "--dtype": dtype})
    benchmark = BenchmarkSpec(
        artifact=artifact.digest,
        batch=int(counts["batch"] or 1),
        instances=int(counts["instances"] or 1),
        processes=int(counts["processes"] or 1),
        least_samples=iterations or 0,
        provider=provider,
        runtime=possible_runtimes([runtime], artifact, provider)[0],
        max_s=max_seconds,
    )
    vamp_run = VampRun(artifact, benchmark, _devices(counts["devices"]), layout, json)
    if datalist is not None or path_output is not None:
        return write_outputs(vamp_run, spec, datalist, path_output)
    return measure(vamp_run)


def _note_ignored(flags: dict[str, object]) -> None:
    for name, value in flags.items():
        if value is not None:
            note(f"Note: {name} {value} has no effect here.")


def _with_undashed(
    counts: dict[str, object], undashed: list[str] | None
) -> dict[str, str | int | None]:
    words = list(undashed or [])
    while words:
        flag, value = words[0], words[1] if len(words) > 1 else ""
        name = _UNDASHED_FLAGS.get(flag)
        fits = re.fullmatch(r"\d+" if name != "devices" else r"\[?\d+(,\d+)*\]?", value)
        if name is None or not fits or counts[name] is not None:
            raise InvalidRequest(
                f"{' '.join(words)} is not understood; options start with a dash, such as -p 1."
            )
        note(f"Note: {flag} {value} was read as -{flag} {value}.")
        counts[name] = value if name == "devices" else int(value)
        words = words[2:]
    return counts  # type: ignore[return-value]


def _preprocess(artifact: Artifact, vdsp_params: Path | None) -> PreprocessSpec:
    exported = artifacts.preprocess_of(artifact)
    if vdsp_params is None:
        return exported
    vdsp = read_vdsp(vdsp_params, exported)
    for remark in vdsp.remarks:
        note(f"Note: {remark}")
    if vdsp.spec.crop != exported.crop:
        raise InvalidRequest(
            f"{vdsp_params.name} gives {vdsp.spec.crop} x {vdsp.spec.crop} pixels, but the build "
            f"takes {exported.crop} x {exported.crop}; use parameters of this input size."
        )
    return vdsp.spec


def _require_shape(shape: str | None, side: int) -> None:
    if shape is None:
        return
    numbers = [int(word) for word in re.findall(r"\d+", shape)]
    if not re.fullmatch(r"[\[\]\d,\s]+", shape) or numbers != [3, side, side]:
        raise InvalidRequest(f"-s is {shape[:40]}, but the build takes [3,{side},{side}].")


def _devices(text: object) -> tuple[int, ...]:
    words = re.fullmatch(r"\[?(\d+(?:,\d+)*)\]?", str(text if text is not None else "0"))
    if not words:
        raise InvalidRequest(f"-d is {str(text)[:40]}; give device numbers, such as 0 or [0].")
    ids = tuple(int(word) for word in words.group(1).split(","))
    if ids != (0,):
        note(f"Note: -d {text} has no effect here; --provider selects the device.")
    return ids
