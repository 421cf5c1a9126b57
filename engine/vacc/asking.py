"""From a build file to what the workbench is asked: model, weights, calibration images, build."""

from __future__ import annotations

import re
from pathlib import Path

from db.enums import Precision, WeightsKind
from engine.catalog import SOURCE_LABELS, CatalogModel, catalogue, find_model
from engine.digests import data_digest
from engine.errors import VaccFileInvalid
from engine.runs.requests import RunRequest, Task
from engine.specs import CALIBRATION_IMAGES, PERCENTILE, DatasetSpec, WeightsSpec, absolute
from engine.vacc.build_file import BuildFile

_FILE_SUFFIXES = (".onnx", ".pt", ".pth", ".safetensors", ".pdparams", ".pdiparams")


def request_of(
    file: BuildFile, model: str | None = None, weights: WeightsSpec | None = None
) -> RunRequest:
    """The run that builds what the file describes; `model` and `weights` override it.

    Raises VaccFileInvalid when the checkpoint is neither a file here nor the name of a model.
    """
    model_id, found = model_of(file, model)
    calibration = calibration_of(file)
    return RunRequest(
        model_id=model_id,
        weights=weights or found,
        precisions=(file.precision,),
        tasks=(Task.BUILD,),
        calibration_dataset=calibration.name if calibration else None,
        calibration_images=file.images or CALIBRATION_IMAGES,
        calibration_mode=file.mode,
        calibration_percentile=file.percentile or PERCENTILE,
        keep_in_float=file.keep_in_float if file.precision == Precision.INT8 else (),
        softmax=file.softmax,
        preprocess=file.preprocess.to_dict() if file.preprocess else None,
    )


def calibration_of(file: BuildFile) -> DatasetSpec | None:
    """The images that int8 is calibrated on, as a dataset to prepare; None for other precisions.

    Its name follows from the folder, suffix and number, so that the same file means the same set.
    """
    if file.precision != Precision.INT8 or file.dataset is None:
        return None
    root, count = absolute(file.dataset), file.images or CALIBRATION_IMAGES
    return DatasetSpec(
        name=f"calib-{data_digest([root, file.suffix, count])[:12]}",
        root=root,
        calibration_images=count,
        suffix=file.suffix,
    )


def model_of(file: BuildFile, model: str | None = None) -> tuple[str, WeightsSpec]:
    """The model's id and weights: an ONNX file, a checkpoint of a known network, or a name."""
    path = Path(file.checkpoint).expanduser()
    if path.is_file():
        return _of_file(path, file, model)
    if path.suffix in _FILE_SUFFIXES or path.is_absolute():
        raise VaccFileInvalid(
            f"The checkpoint of {file.name} is not there: {absolute(path)}. Paths count from the "
            f"folder that the command is called in."
        )
    return (model or _by_name(file.checkpoint, file)), WeightsSpec()


def _of_file(path: Path, file: BuildFile, model: str | None) -> tuple[str, WeightsSpec]:
    weights = WeightsSpec(kind=WeightsKind.FILE, path=absolute(path))
    if path.suffix == ".onnx":
        return f"onnx/{path.stem[:100]}", weights
    # The vendor's exports are called <model>_<side>.
    return (model or _by_name(path.stem.removesuffix(f"_{file.side}"), file)), weights


def _by_name(name: str, file: BuildFile) -> str:
    if name.partition("/")[0] in SOURCE_LABELS:
        return find_model(name).id
    rows: dict[str, CatalogModel] = {row.name: row for row in reversed(catalogue().values())}
    if name in rows:  # the first row of that name, which is timm's where timm has it
        return rows[name].id
    if re.fullmatch(r"[A-Za-z0-9_]+", name):
        return f"timm/{name}"
    raise VaccFileInvalid(
        f"The checkpoint {file.checkpoint} of {file.name} does not say which network it belongs "
        f"to; add --model, such as --model timm/seresnet50."
    )
