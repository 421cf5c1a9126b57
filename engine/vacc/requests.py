"""From a build file to what the workbench is asked: model, weights, calibration images, build."""

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
from engine.text import cut
from engine.vacc.build_file import BuildFile
from engine.weights.identify import identify, model_of_published_file

_PADDLE_SUFFIXES = (".pdparams", ".pdiparams")
_FILE_SUFFIXES = (".onnx", ".pt", ".pth", ".safetensors", *_PADDLE_SUFFIXES)
_PLAIN = re.compile(r"[A-Za-z0-9_.]+")
_DIGEST, _SIDE = re.compile(r"-[0-9a-f]{8,}$"), re.compile(r"_\d{2,4}$")


@dataclass(frozen=True, slots=True)
class Asked:
    """The run that a build file describes, and what was assumed to get there."""

    request: RunRequest
    remarks: tuple[str, ...] = ()


def request_of(
    file: BuildFile,
    model: str | None = None,
    weights: WeightsSpec | None = None,
    key: str | None = None,
) -> Asked:
    """The run that builds what the file describes; `model`, `weights` and `key` override it.

    Raises VaccFileInvalid when the checkpoint is neither a file here nor the name of a model.
    """
    model_id, found, remarks = _model_of(file, model, weights, key)
    calibration = calibration_of(file)
    request = RunRequest(
        model_id=model_id,
        weights=found,
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
    return Asked(request, remarks)


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


def _model_of(
    file: BuildFile, model: str | None, weights: WeightsSpec | None, key: str | None
) -> tuple[str, WeightsSpec, tuple[str, ...]]:
    """As `model_of`, with other weights than the file's where they are given."""
    if weights is None:
        return model_of(file, model, key)
    weights = weights.model_copy(update={"key": key or weights.key})
    if model is not None:
        return model, weights, ()
    if weights.path is not None and is_file(expand_user(weights.path)):
        other = replace(file, checkpoint=weights.path)
        return model_of(other, model, weights.key)
    model_id, _, remarks = model_of(file, model, key)
    return model_id, weights, remarks


def model_of(
    file: BuildFile, model: str | None = None, key: str | None = None
) -> tuple[str, WeightsSpec, tuple[str, ...]]:
    """The model's id, its weights, and what was assumed of them.

    An ONNX file, a checkpoint (which says itself what it holds), or a name. Raises VaccFileInvalid
    where that leads to no network.
    """
    path, key = expand_user(file.checkpoint), key or file.weights_key
    if is_file(path):
        return _of_file(path, file, model, key)
    if path.suffix in _FILE_SUFFIXES or path.is_absolute():
        published = model_of_published_file(path.name)
        hint = (
            f" Its name is that of the published weights of {published}: `checkpoint: {published}` "
            f"takes those."
        )
        raise VaccFileInvalid(
            f"The checkpoint of {file.name} is not there: {absolute(path)}. Paths count from the "
            f"folder that the command is called in.{hint if published else ''}"
        )
    return (model or _by_name(file.checkpoint, file)), WeightsSpec(key=key), ()


def _of_file(
    path: Path, file: BuildFile, model: str | None, key: str | None
) -> tuple[str, WeightsSpec, tuple[str, ...]]:
    weights = WeightsSpec(kind=WeightsKind.FILE, path=absolute(path), key=key)
    if path.suffix == ".onnx":
        return f"onnx/{path.stem[:100]}", weights, ()
    if model is not None:
        return model, weights, ()
    model_id, told = network_of(path, [file.name], key)
    return model_id, weights, told


def network_of(
    path: Path, names: Sequence[str], key: str | None = None
) -> tuple[str, tuple[str, ...]]:
    """The network that a checkpoint holds, and what to say of it.

    The row of the catalog that its tensors fit; else, of the networks that its own name or one of
    `names` may stand for, the one that they fit; else the likeliest of those, so that the export
    says what differs. Raises VaccFileInvalid where there is none.
    """
    found = identify(path, key, _guesses(path, names))
    if found.model_id is not None:
        if found.error is not None:
            raise VaccFileInvalid(found.error)
        told = f"{path.name} holds the weights of {found.model_id}."
        return found.model_id, (told, *found.remarks)
    published = model_of_published_file(path.name)
    likely = [
        guess
        for guess in found.guesses
        if found.is_mmcls or guess == published or not guess.startswith("mmcls/")
    ]
    if likely:
        return likely[0], found.remarks
    reason = (found.error or "its tensors fit no network of the catalog").rstrip(".")
    raise VaccFileInvalid(
        f"The checkpoint {path.name} does not say which network it belongs to, nor does its name: "
        f"{reason}; add --model, such as --model timm/seresnet50."
    )


def _guesses(path: Path, names: Sequence[str]) -> list[str]:
    """What a file's name and the names given with it may stand for, the likeliest first."""
    stems = [path.stem, path.stem.partition(".")[0], _DIGEST.sub("", path.stem)]
    # The vendor's exports are called <model>_<side>.
    stems += [_SIDE.sub("", stem) for stem in stems]
    published = model_of_published_file(path.name)
    found = [published] if published else []
    family = "ppcls" if path.suffix in _PADDLE_SUFFIXES else "mmcls"
    found += [row.id for name in (*names, *stems) for row in _rows(name) if row.source == family]
    found += [row.id for stem in stems for row in _rows(stem) if row.source != "mmcls"]
    found += [f"timm/{name}" for name in (*stems, *names) if _PLAIN.fullmatch(name)]
    return list(dict.fromkeys(found))


def _rows(name: str) -> list[CatalogModel]:
    """The rows of a name or class name, in the order of the catalog: timm's first."""
    plain = name.lower()
    return [m for m in catalog().values() if plain in (m.name.lower(), m.architecture.lower())]


def _by_name(name: str, file: BuildFile) -> str:
    if name.partition("/")[0] in SOURCE_LABELS:
        return find_model(name).id
    rows = _rows(name)
    if rows:
        return rows[0].id
    published = model_of_published_file(name)
    if published is not None:
        return published
    if _PLAIN.fullmatch(name) and identify(None, guesses=[f"timm/{name}"]).guesses:
        return f"timm/{name}"
    raise VaccFileInvalid(
        f"The checkpoint {cut(file.checkpoint)} of {file.name} is neither a file here nor a model "
        f"that timm or the catalog knows; add --model, such as --model timm/seresnet50."
    )
