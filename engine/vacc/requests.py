"""Turns a build file into a request: model, weights, calibration images and precision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from db.enums import Precision, WeightsKind
from engine.catalog.models import SOURCE_LABELS, CatalogModel, catalog, find_model
from engine.common.digests import data_digest
from engine.common.files import expand_user, is_file
from engine.errors import VaccFileInvalid
from engine.runs.request import RunRequest, Task
from engine.specs import CALIBRATION_IMAGES, PERCENTILE, DatasetSpec, WeightsSpec, absolute
from engine.specs.precisions import file_precision
from engine.text import cut
from engine.vacc.build_file import BuildFile
from engine.weights.identify import identify, model_of_published_file

_PADDLE_SUFFIXES = (".pdparams", ".pdiparams")
_FILE_SUFFIXES = (".onnx", ".pt", ".pth", ".safetensors", *_PADDLE_SUFFIXES)
_TIMM_NAME = re.compile(r"[A-Za-z0-9_.]+")
_DIGEST, _SIDE = re.compile(r"-[0-9a-f]{8,}$"), re.compile(r"_\d{2,4}$")


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """The request that a build file describes, and notes on assumptions.

    `missing`: what the file names and this machine does not have, one sentence each.
    """

    request: RunRequest
    remarks: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def build_request(
    file: BuildFile,
    model: str | None = None,
    weights: WeightsSpec | None = None,
    key: str | None = None,
) -> BuildRequest:
    """The request that builds what the file describes; `model`, `weights` and `key` override it.

    Raises VaccFileInvalid if the checkpoint is neither an existing file nor the name of a model.
    """
    model_id, resolved_weights, remarks = _resolve_model(file, model, weights, key)
    return BuildRequest(_request(file, model_id, resolved_weights), remarks)


def fill_request(file: BuildFile) -> BuildRequest:
    """As `build_request`, but a checkpoint that is not found is left as written, and `missing`."""
    try:
        return build_request(file)
    except VaccFileInvalid as error:
        path, reason = expand_user(file.checkpoint), str(error)
        if path.suffix in _FILE_SUFFIXES and not is_file(path):
            reason = (
                f"The checkpoint {cut(file.checkpoint)} is not on this machine: enter the folder "
                f"that its path counts from, or the right path, or upload the file."
            )
        return BuildRequest(_request(file, *_as_written(file, path)), (), (reason,))


def _as_written(file: BuildFile, path: Path) -> tuple[str, WeightsSpec]:
    """The most likely model of a checkpoint that cannot be read, and the checkpoint as weights."""
    name = _SIDE.sub("", path.stem)
    if path.suffix == ".onnx":
        weights = WeightsSpec(kind=WeightsKind.FILE, path=file.checkpoint, key=file.weights_key)
        return f"onnx/{path.stem[:100]}", weights
    rows = [row.id for known in (name, file.name) for row in _catalog_rows(known)]
    published = model_of_published_file(path.name)
    named = f"timm/{name}" if _TIMM_NAME.fullmatch(name) else next(iter(catalog()))
    model_id = next(iter([*filter(None, [published]), *rows]), named)
    if path.suffix not in _FILE_SUFFIXES:
        return model_id, WeightsSpec(key=file.weights_key)
    return model_id, WeightsSpec(kind=WeightsKind.FILE, path=file.checkpoint, key=file.weights_key)


def relative_paths(file: BuildFile) -> tuple[str, ...]:
    """The paths of a file that count from a folder which the file does not name."""
    checkpoint = file.checkpoint if Path(file.checkpoint).suffix in _FILE_SUFFIXES else None
    named = filter(None, (checkpoint, file.dataset))
    return tuple(path for path in named if not expand_user(path).is_absolute())


def with_folder(file: BuildFile, folder: Path) -> BuildFile:
    """The file with its relative paths counted from a folder."""
    moved = {path: str(folder / path) for path in relative_paths(file)}
    return replace(
        file,
        checkpoint=moved.get(file.checkpoint, file.checkpoint),
        dataset=moved.get(file.dataset, file.dataset) if file.dataset else None,
    )


def _request(file: BuildFile, model_id: str, weights: WeightsSpec) -> RunRequest:
    """The request of a build file with a model."""
    calibration = calibration_dataset(file)
    return RunRequest(
        model_id=model_id,
        weights=weights,
        precisions=(file.precision,),
        tasks=(Task.BUILD,),
        calibration_dataset=calibration.name if calibration else None,
        calibration_images=file.images or CALIBRATION_IMAGES,
        calibration_mode=file.mode,
        calibration_percentile=file.percentile or PERCENTILE,
        keep_in_float=file.keep_in_float if _is_int8(file) else (),
        softmax=file.softmax,
        preprocess=file.preprocess.to_dict() if file.preprocess else None,
    )


def _is_int8(file: BuildFile) -> bool:
    return file_precision(file.precision) == Precision.INT8


def calibration_dataset(file: BuildFile) -> DatasetSpec | None:
    """The calibration images as a dataset to register; None for other precisions than int8.

    Its name is derived from folder, suffix and number of images, so equal files share a dataset.
    """
    if not _is_int8(file) or file.dataset is None:
        return None
    root, count = absolute(file.dataset), file.images or CALIBRATION_IMAGES
    return DatasetSpec(
        name=f"calib-{data_digest([root, file.suffix, count])[:12]}",
        root=root,
        calibration_images=count,
        suffix=file.suffix,
    )


def _resolve_model(
    file: BuildFile, model: str | None, weights: WeightsSpec | None, key: str | None
) -> tuple[str, WeightsSpec, tuple[str, ...]]:
    """As `model_in_file`, but with `weights` instead of those of the file if they are given."""
    if weights is None:
        return model_in_file(file, model, key)
    weights = weights.model_copy(update={"key": key or weights.key})
    if model is not None:
        return model, weights, ()
    if weights.path is not None and is_file(expand_user(weights.path)):
        other = replace(file, checkpoint=weights.path)
        return model_in_file(other, model, weights.key)
    model_id, _, remarks = model_in_file(file, model, key)
    return model_id, weights, remarks


def model_in_file(
    file: BuildFile, model: str | None = None, key: str | None = None
) -> tuple[str, WeightsSpec, tuple[str, ...]]:
    """The model id, its weights, and notes on assumptions.

    The checkpoint is an ONNX file, a weights file (identified by its tensors), or a model name.
    Raises VaccFileInvalid if no model is identified.
    """
    path, key = expand_user(file.checkpoint), key or file.weights_key
    if is_file(path):
        return _model_in_checkpoint(path, file, model, key)
    if path.suffix in _FILE_SUFFIXES or path.is_absolute():
        published = model_of_published_file(path.name)
        hint = (
            f" It has the name of the published weights of {published}: `checkpoint: {published}` "
            f"uses them."
        )
        raise VaccFileInvalid(
            f"The checkpoint of {file.name} does not exist: {absolute(path)}. Paths are relative "
            f"to the current folder.{hint if published else ''}"
        )
    return (model or _model_by_name(file.checkpoint, file)), WeightsSpec(key=key), ()


def _model_in_checkpoint(
    path: Path, file: BuildFile, model: str | None, key: str | None
) -> tuple[str, WeightsSpec, tuple[str, ...]]:
    weights = WeightsSpec(kind=WeightsKind.FILE, path=absolute(path), key=key)
    if path.suffix == ".onnx":
        return f"onnx/{path.stem[:100]}", weights, ()
    if model is not None:
        return model, weights, ()
    model_id, remarks = identify_model(path, [file.name], key)
    return model_id, weights, remarks


def identify_model(
    path: Path, names: Sequence[str], key: str | None = None
) -> tuple[str, tuple[str, ...]]:
    """The model that a checkpoint holds, and notes on it.

    In this order: the model of the catalog whose tensors match; a candidate by the file's name or
    one of `names` whose tensors match; the most likely candidate, so that the export reports the
    difference. Raises VaccFileInvalid if there is no candidate.
    """
    identified = identify(path, key, _candidate_models(path, names))
    if identified.model_id is not None:
        if identified.error is not None:
            raise VaccFileInvalid(identified.error)
        remark = f"{path.name} holds the weights of {identified.model_id}."
        return identified.model_id, (remark, *identified.remarks)
    published = model_of_published_file(path.name)
    likely = [
        guess
        for guess in identified.guesses
        if identified.is_mmcls or guess == published or not guess.startswith("mmcls/")
    ]
    if likely:
        return likely[0], identified.remarks
    reason = (identified.error or "its tensors match no model of the catalog").rstrip(".")
    raise VaccFileInvalid(
        f"The model of the checkpoint {path.name} cannot be identified by its tensors or its "
        f"name: "
        f"{reason}; add --model, such as --model timm/seresnet50."
    )


def _candidate_models(path: Path, names: Sequence[str]) -> list[str]:
    """Candidate models by the file's name and the names given with it, most likely first."""
    stems = [path.stem, path.stem.partition(".")[0], _DIGEST.sub("", path.stem)]
    # Exports of the vendor's script are named <model>_<side>.
    stems += [_SIDE.sub("", stem) for stem in stems]
    published = model_of_published_file(path.name)
    candidates = [published] if published else []
    family = "ppcls" if path.suffix in _PADDLE_SUFFIXES else "mmcls"
    candidates += [
        row.id for name in (*names, *stems) for row in _catalog_rows(name) if row.source == family
    ]
    candidates += [row.id for stem in stems for row in _catalog_rows(stem) if row.source != "mmcls"]
    candidates += [f"timm/{name}" for name in (*stems, *names) if _TIMM_NAME.fullmatch(name)]
    return list(dict.fromkeys(candidates))


def _catalog_rows(name: str) -> list[CatalogModel]:
    """Catalog rows of a model or architecture name, in catalog order: timm first."""
    plain = name.lower()
    return [m for m in catalog().values() if plain in (m.name.lower(), m.architecture.lower())]


def _model_by_name(name: str, file: BuildFile) -> str:
    if name.partition("/")[0] in SOURCE_LABELS:
        return find_model(name).id
    rows = _catalog_rows(name)
    if rows:
        return rows[0].id
    published = model_of_published_file(name)
    if published is not None:
        return published
    if _TIMM_NAME.fullmatch(name) and identify(None, guesses=[f"timm/{name}"]).guesses:
        return f"timm/{name}"
    raise VaccFileInvalid(
        f"The checkpoint {cut(file.checkpoint)} of {file.name} is neither an existing file nor a "
        f"model of timm or the catalog; add --model, such as --model timm/seresnet50."
    )
