"""Writes a build of the workbench as a build file of vamc, in the current schema.

Preprocessing that the vendor's operations cannot express (a kept aspect ratio, bicubic, Pillow) is
written as extension keys of Resize; a comment says that the vendor's tool does not read them.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from db.enums import Precision, WeightsKind
from db.models import Artifact
from engine.preprocess import Color, Interpolation, PreprocessSpec, ResizeMode, Resizer
from engine.preprocess.pixel_scale import raw_levels
from engine.preprocess.spec import PIXEL_SCALE
from engine.specs import CalibrationMode
from engine.specs.precisions import file_precision
from engine.store import artifacts
from engine.store.manifest import BuildManifest, CalibrationFacts

_UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9._+-]")
_RANDOM_WEIGHTS_COMMENT = "# The weights are random: build with --weights random.\n"
_OWN_KEYS_COMMENT = (
    "# keep_ratio, interpolation and resizer are keys of SENet Workbench: the vendor's Resize\n"
    "# squashes bilinearly, as OpenCV does, so the vendor's accuracy will differ.\n"
)
_WEIGHTS_KEY_COMMENT = (
    "# weights_key is a key of SENet Workbench: it selects one of several sets of weights in\n"
    "# the checkpoint.\n"
)


def build_file_text(artifact: Artifact) -> str:
    """The YAML text of a build file; reading it gives the same build."""
    manifest = BuildManifest.from_artifact(artifact)
    details = manifest.build
    weights_key = {"weights_key": manifest.weights_key} if manifest.weights_key else {}
    spec = artifacts.preprocess_of(artifact)
    source, _, name = artifact.model_id.partition("/")
    onnx = source == "onnx"
    document: dict[str, Any] = {
        "name": _UNSAFE_CHARACTERS.sub("_", f"{source}_{name}_{artifact.precision}"),
        "frontend": {
            "shape": {"input": [1, 3, spec.crop, spec.crop]},
            "type": "onnx" if onnx else "pytorch",
            "checkpoint": _checkpoint(artifact, manifest),
            **weights_key,
            "dtype": "fp32",
        },
        "backend": {"type": "tvm_vacc", "dtype": artifact.precision},
        "workspace": {"path": "./deploy_weights/"},
    }
    if details.appended == "softmax":
        document["graph"] = {"extra_ops": {"type": "softmax"}}
    document["dataset"] = {"type": "tvm", "process_ops": _process_ops(spec)}
    if file_precision(artifact.precision) == Precision.INT8:
        calibration = details.calibration or CalibrationFacts(dataset="images", images=300)
        document["backend"]["quantize"] = _quantize(calibration)
        document["dataset"] |= {
            "path": f"/path/to/{calibration.dataset}",
            "sampler": {"suffix": "JPEG", "get_data_num": calibration.images},
        }
    random = _RANDOM_WEIGHTS_COMMENT if artifact.weights_kind == WeightsKind.RANDOM else ""
    comments = _OWN_KEYS_COMMENT if _needs_own_keys(spec) else ""
    comments += _WEIGHTS_KEY_COMMENT if weights_key else ""
    return random + comments + yaml.safe_dump(document, sort_keys=False)


def _checkpoint(artifact: Artifact, manifest: BuildManifest) -> str:
    """The model id (its published weights), or the path of the weights file."""
    origin = manifest.weights.origin or ""
    if artifact.weights_kind == WeightsKind.FILE and origin.startswith("file "):
        return f"/path/to/{origin.removeprefix('file ')}"
    return artifact.model_id


def _quantize(calibration: CalibrationFacts) -> dict[str, Any]:
    plain: dict[str, Any] = {"calibrate_mode": calibration.mode, "quantize_per_channel": True}
    if calibration.mode == CalibrationMode.PERCENTILE and calibration.percentile is not None:
        plain["calibrate_range"] = calibration.percentile / 100
    if calibration.keep_in_float:
        plain["skip_conv_layers"] = calibration.keep_in_float
    return plain


def _needs_own_keys(spec: PreprocessSpec) -> bool:
    usual = (ResizeMode.SQUASH, Interpolation.BILINEAR, Resizer.OPENCV)
    return spec.resize is not None and usual != (
        spec.resize_mode,
        spec.interpolation,
        spec.resizer,
    )


def _process_ops(spec: PreprocessSpec) -> list[dict[str, Any]]:
    ops: list[dict[str, Any]] = [{"type": "DecodeImage"}]
    if spec.resize is not None:
        resize: dict[str, Any] = {"type": "Resize", "size": [spec.resize] * 2}
        if _needs_own_keys(spec):
            resize |= {
                "keep_ratio": spec.resize_mode is ResizeMode.SHORT_SIDE,
                "interpolation": str(spec.interpolation),
                "resizer": str(spec.resizer),
            }
        ops.append(resize)
    crop: dict[str, Any] = {"type": "CenterCrop", "crop_size": [spec.crop] * 2}
    if spec.resize is None and spec.resizer is not Resizer.OPENCV:
        crop["resizer"] = str(spec.resizer)  # the libraries round an odd margin differently
    ops.append(crop)
    if spec.color is Color.BGR:
        ops.append({"type": "CvtColor", "code": "COLOR_RGB2BGR"})
    mean, std, div255 = _normalize(spec)
    ops.append({"type": "Normalize", "div255": div255, "mean": mean, "std": std})
    return [*ops, {"type": "ToTensor"}]


def _normalize(spec: PreprocessSpec) -> tuple[list[float], list[float], bool]:
    """(mean, std, div255): for pixels in [0, 1], or in [0, 255] with any other scale."""
    if spec.scale == PIXEL_SCALE:
        return list(spec.mean), list(spec.std), True
    mean, std = raw_levels(spec)
    return list(mean), list(std), False
