"""The flags of the vendor's export script, on `export`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from db.enums import JobStatus, WeightsKind
from engine.catalog.models import CatalogModel, find_model
from engine.cli.follow import finish_run, submit_noting
from engine.cli.output import emit_json, note
from engine.common.files import atomic_write
from engine.errors import InvalidRequest
from engine.jobs.results import artifact_digests
from engine.runs.fields import FIELDS
from engine.runs.request import RunRequest, Task
from engine.specs import ExportFormat, WeightsSpec
from engine.store import artifacts
from engine.store.database import prepare_database
from engine.weights.identify import identify


class ModelLibrary(StrEnum):
    """Where the script takes networks from."""

    TIMM = "timm"
    TORCHVISION = "torchvision"


class Convert(StrEnum):
    """What the script writes."""

    ONNX = "onnx"
    PT = "pt"


FORMATS: dict[Convert, ExportFormat] = {Convert.ONNX: "onnx", Convert.PT: "torchscript"}
FILES = {Convert.ONNX: artifacts.MODEL_FILE, Convert.PT: artifacts.TORCHSCRIPT_FILE}
ModelOrFlags = Annotated[
    str | None,
    typer.Argument(help=f"{FIELDS['model_id'].help} Or --model_name."),
]
Library = Annotated[
    ModelLibrary | None, typer.Option("--model_library", help="As in the vendor's script.")
]
Name = Annotated[str | None, typer.Option("--model_name", help="The name in that library.")]
SaveDir = Annotated[Path | None, typer.Option("--save_dir", help="Folder for <name>_<size>.*.")]
Size = Annotated[
    int | None, typer.Option("--size", min=1, help="Side of the input; the model's own if absent.")
]
PretrainedWeights = Annotated[
    str | None, typer.Option("--pretrained_weights", help="A checkpoint; published if left out.")
]
ConvertMode = Annotated[Convert | None, typer.Option("--convert_mode", help="onnx or pt.")]


@dataclass(frozen=True, slots=True)
class Flags:
    """What was given of the script's flags."""

    model_library: Library = None
    model_name: Name = None
    save_dir: SaveDir = None
    size: Size = None
    pretrained_weights: PretrainedWeights = None
    convert_mode: ConvertMode = None


def export_by_flags(
    model: str | None, flags: Flags, weights: WeightsSpec, detach: bool, json: bool
) -> int:
    """Exports, and copies the file to `<save_dir>/<model_name>_<side>.<onnx or pt>`."""
    if model is not None or flags.model_name is None:
        raise typer.BadParameter(
            "Say which model once: `export timm/seresnet50`, or `export --model_name seresnet50`."
        )
    if flags.model_library is ModelLibrary.TORCHVISION:
        raise InvalidRequest(
            f"torchvision has no SE networks of the catalog; export {flags.model_name} to ONNX "
            f"there and bring it as onnx/{flags.model_name} with --weights FILE."
        )
    if detach:
        raise InvalidRequest("--save_dir is written when the export is done: leave out --detach.")
    found, mode = find_model(f"timm/{flags.model_name}"), flags.convert_mode or Convert.ONNX
    if flags.pretrained_weights:
        weights = WeightsSpec(kind=WeightsKind.FILE, path=flags.pretrained_weights, key=weights.key)
        found = _of_checkpoint(found, weights)
    request = RunRequest(
        model_id=found.id,
        weights=weights,
        tasks=(Task.EXPORT,),
        format=FORMATS[mode],
        preprocess=_preprocess(found, flags.size),
    )
    jobs = finish_run(submit_noting(request))
    made = artifact_digests(job.result for job in jobs)
    if any(job.status != JobStatus.SUCCEEDED for job in jobs):
        return 1
    digest = made[-1]
    side = artifacts.preprocess_of(artifacts.find_by_digest(digest, prepare_database())).crop
    target = (flags.save_dir or Path()) / f"{flags.model_name}_{side}.{mode}"
    with atomic_write(target) as part:
        shutil.copyfile(artifacts.folder_of(digest) / FILES[mode], part)
    emit_json({"artifact": digest, "file": str(target)}) if json else note(
        f"[INFO] convert model save: {target}"
    )
    return 0


def _of_checkpoint(model: CatalogModel, weights: WeightsSpec) -> CatalogModel:
    """The network of that name that the checkpoint holds: it may come from another library."""
    path = Path(weights.path or "").expanduser()
    held = identify(path, weights.key).model_id if path.is_file() else None
    if held is None or held == model.id or find_model(held).name != model.name:
        return model
    note(f"Note: {path.name} holds the weights of {held}, not of {model.id}: {held} is exported.")
    return find_model(held)


def _preprocess(model: CatalogModel, size: int | None) -> dict[str, object] | None:
    own = model.preprocess
    if size is None or (own is not None and own.crop == size):
        return None
    return {"crop": size}
