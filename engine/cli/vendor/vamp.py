"""`vamp`: the vendor's benchmark, by its own flags and in its own layout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from db.models import Artifact
from engine.cli import options as o
from engine.cli.output import note
from engine.cli.vendor.vamp_runs import Call, measure, write_outputs
from engine.errors import InvalidRequest
from engine.preprocess import PreprocessSpec
from engine.specs import CPU_PROVIDER, BenchmarkSpec
from engine.store import artifacts
from engine.store.database import prepare_database
from engine.vacc.deploy import find_deployed
from engine.vacc.vdsp import read_vdsp

Model = Annotated[
    str, typer.Option("--model", "-m", help="The prefix `vamc compile` wrote, or a digest.")
]
Bare = Annotated[
    list[str] | None,
    typer.Argument(help="A flag without its dash, as documents have it: `p 1`."),
]
VdspParams = Annotated[
    Path | None, typer.Option("--vdsp_params", help="How images are prepared, as JSON.")
]
Instances = Annotated[
    int | None, typer.Option("-i", min=1, help="Instances in each process. 1 if left out.")
]
Processes = Annotated[int | None, typer.Option("-p", min=1, help="Processes. 1 if left out.")]
Batch = Annotated[int | None, typer.Option("-b", min=1, help="Images a request. 1 if left out.")]
Shape = Annotated[
    str | None, typer.Option("-s", help="Input shape without the batch: `[3,224,224]`.")
]
Devices = Annotated[
    str | None, typer.Option("-d", help="Devices, `0` or `[0]`; of no effect here.")
]
Iterations = Annotated[
    int | None, typer.Option("--iterations", min=1, help="Images each process does at least.")
]
Datalist = Annotated[
    Path | None, typer.Option("--datalist", help="List of input npz files, from image2npz.")
]
PathOutput = Annotated[
    Path | None, typer.Option("--path_output", help="Folder for one output npz each.")
]
ForwardMode = Annotated[
    int | None, typer.Option("--forward_mode", help="Requests are always synchronous here.")
]
Dtype = Annotated[str | None, typer.Option("--dtype", help="Type of the input; of no effect here.")]
Layout = Annotated[
    int, typer.Option(min=1, max=2, help="1: of 2023, with percentiles; 2: of today.")
]


_BARE = {"i": "instances", "p": "processes", "b": "batch", "d": "devices"}


def vamp(
    model: Model,
    bare: Bare = None,
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
    provider: o.Provider = CPU_PROVIDER,
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
    _note_without_effect({"--forward_mode": forward_mode, "--dtype": dtype})
    asked = BenchmarkSpec(
        artifact=artifact.digest,
        batch=int(given["batch"] or 1),
        instances=int(given["instances"] or 1),
        processes=int(given["processes"] or 1),
        least_samples=iterations or 0,
        provider=provider,
        max_s=max_seconds,
    )
    call = Call(artifact, asked, _devices(given["devices"]), layout, json)
    if datalist is not None or path_output is not None:
        return write_outputs(call, spec, datalist, path_output)
    return measure(call)


def _note_without_effect(flags: dict[str, object]) -> None:
    for name, value in flags.items():
        if value is not None:
            note(f"Note: {name} {value} has no effect here.")


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
