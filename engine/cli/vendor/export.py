"""The options of the vendor's export script, accepted by `export`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from db.enums import JobStatus, WeightsKind
from engine.catalog.models import CatalogModel, find_model
from engine.cli.follow import finish_run, submit_with_warnings
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
    """Model libraries of the vendor's script."""

    TIMM = "timm"
    TORCHVISION = "torchvision"


class Convert(StrEnum):
    """File formats of the vendor's script."""

    ONNX = "onnx"
    PT = "pt"


FORMATS: dict[Convert, ExportFormat] = {Convert.ONNX: "onnx", Convert.PT: "torchscript"}
FILES = {Convert.ONNX: artifacts.MODEL_FILE, Convert.PT: artifacts.TORCHSCRIPT_FILE}
ModelOrFlags = Annotated[
    str | None,
    typer.Argument(help=f"{FIELDS['model_id'].help} Or give --model_name."),
]
Library = Annotated[
    ModelLibrary | None,
    typer.Option(
        "--model_library",
        help="As in the vendor's script; only timm has SE networks of the catalog.",
    ),
]
ModelName = Annotated[
    str | None, typer.Option("--model_name", help="Name of the model in that library.")
]
SaveDir = Annotated[
    Path | None,
    typer.Option(
        "--save_dir",
        help="Folder for the file `<name>_<size>.onnx` or `.pt`. Default: the current folder.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option("--size", min=1, help="Input side in pixels. Default: that of the model."),
]
PretrainedWeights = Annotated[
    str | None,
    typer.Option("--pretrained_weights", help="Checkpoint file. Default: the published weights."),
]
ConvertMode = Annotated[
    Convert | None,
    typer.Option("--convert_mode", help="File format: onnx (default) or pt (TorchScript)."),
]


@dataclass(frozen=True, slots=True)
class VendorExportOptions:
    """Options of the vendor's script as given; None: not given."""

    model_library: Library = None
    model_name: ModelName = None
    save_dir: SaveDir = None
    size: Size = None
    pretrained_weights: PretrainedWeights = None
    convert_mode: ConvertMode = None


def export_by_vendor_options(
    model: str | None, options: VendorExportOptions, weights: WeightsSpec, detach: bool, json: bool
) -> int:
    """Exports and copies the file to `<save_dir>/<model_name>_<side>.<onnx or pt>`; exit code."""
    if model is not None or options.model_name is None:
        raise typer.BadParameter(
            "Give the model once: `export timm/seresnet50`, or `export --model_name seresnet50`."
        )
    if options.model_library is ModelLibrary.TORCHVISION:
        raise InvalidRequest(
            f"torchvision has no SE network of the catalog; export {options.model_name} to ONNX "
            f"with torchvision, and give it as onnx/{options.model_name} with --weights FILE."
        )
    if detach:
        raise InvalidRequest(
            "--save_dir is written after the export, so --detach is not possible: leave it out."
        )
    catalog_model, mode = (
        find_model(f"timm/{options.model_name}"),
        options.convert_mode or Convert.ONNX,
    )
    if options.pretrained_weights:
        weights = WeightsSpec(
            kind=WeightsKind.FILE, path=options.pretrained_weights, key=weights.key
        )
        catalog_model = _model_in_checkpoint(catalog_model, weights)
    request = RunRequest(
        model_id=catalog_model.id,
        weights=weights,
        tasks=(Task.EXPORT,),
        format=FORMATS[mode],
        preprocess=_preprocess(catalog_model, options.size),
    )
    jobs = finish_run(submit_with_warnings(request))
    digests = artifact_digests(job.result for job in jobs)
    if any(job.status != JobStatus.SUCCEEDED for job in jobs):
        return 1
    digest = digests[-1]
    side = artifacts.preprocess_of(artifacts.find_by_digest(digest, prepare_database())).crop
    target = (options.save_dir or Path()) / f"{options.model_name}_{side}.{mode}"
    with atomic_write(target) as part:
        shutil.copyfile(artifacts.folder_of(digest) / FILES[mode], part)
    emit_json({"artifact": digest, "file": str(target)}) if json else note(
        f"[INFO] convert model save: {target}"
    )
    return 0


def _model_in_checkpoint(model: CatalogModel, weights: WeightsSpec) -> CatalogModel:
    """The model that the checkpoint holds: one of the same name may be of another library."""
    path = Path(weights.path or "").expanduser()
    identified = identify(path, weights.key).model_id if path.is_file() else None
    if identified is None or identified == model.id or find_model(identified).name != model.name:
        return model
    note(
        f"Note: {path.name} holds the weights of {identified}, not of {model.id}; {identified} is "
        f"exported."
    )
    return find_model(identified)


def _preprocess(model: CatalogModel, size: int | None) -> dict[str, object] | None:
    published = model.preprocess
    if size is None or (published is not None and published.crop == size):
        return None
    return {"crop": size}
