"""A build of the workbench as a build file of vamc, in today's schema.

What the vendor's list of operations cannot say (an aspect ratio that is kept, bicubic, Pillow) is
written as keys of our own on Resize; a comment says that the vendor's tool does not know them.
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
from engine.store import artifacts
from engine.store.manifest import BuildManifest, CalibrationFacts

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]")
_RANDOM = "# The weights are random: build it with --weights random.\n"
_OWN_KEYS = (
    "# keep_ratio, interpolation and resizer are keys of SENet Workbench: the vendor's Resize\n"
    "# squashes, bilinearly, as OpenCV does, and its figures will differ.\n"
)
_OWN_WEIGHTS_KEY = (
    "# weights_key is a key of SENet Workbench: which of several sets of weights in the\n"
    "# checkpoint.\n"
)


def build_text(artifact: Artifact) -> str:
    """The YAML text; reading it back describes the same build."""
    manifest = BuildManifest.from_artifact(artifact)
    made = manifest.build
    weights_key = {"weights_key": manifest.weights_key} if manifest.weights_key else {}
    spec = artifacts.preprocess_of(artifact)
    source, _, name = artifact.model_id.partition("/")
    onnx = source == "onnx"
    document: dict[str, Any] = {
        "name": _UNSAFE.sub("_", f"{source}_{name}_{artifact.precision}"),
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
    if made.appended == "softmax":
        document["graph"] = {"extra_ops": {"type": "softmax"}}
    document["dataset"] = {"type": "tvm", "process_ops": _ops(spec)}
    if artifact.precision == Precision.INT8:
        calibration = made.calibration or CalibrationFacts(dataset="images", images=300)
        document["backend"]["quantize"] = _quantize(calibration)
        document["dataset"] |= {
            "path": f"/path/to/{calibration.dataset}",
            "sampler": {"suffix": "JPEG", "get_data_num": calibration.images},
        }
    random = _RANDOM if artifact.weights_kind == WeightsKind.RANDOM else ""
    own = _OWN_KEYS if _is_beyond_the_vendor(spec) else ""
    own += _OWN_WEIGHTS_KEY if weights_key else ""
    return random + own + yaml.safe_dump(document, sort_keys=False)


def _checkpoint(artifact: Artifact, manifest: BuildManifest) -> str:
    """The model's id, which is read as its published weights, or the file they came from."""
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


def _is_beyond_the_vendor(spec: PreprocessSpec) -> bool:
    usual = (ResizeMode.SQUASH, Interpolation.BILINEAR, Resizer.OPENCV)
    return spec.resize is not None and usual != (
        spec.resize_mode,
        spec.interpolation,
        spec.resizer,
    )


def _ops(spec: PreprocessSpec) -> list[dict[str, Any]]:
    ops: list[dict[str, Any]] = [{"type": "DecodeImage"}]
    if spec.resize is not None:
        resize: dict[str, Any] = {"type": "Resize", "size": [spec.resize] * 2}
        if _is_beyond_the_vendor(spec):
            resize |= {
                "keep_ratio": spec.resize_mode is ResizeMode.SHORT_SIDE,
                "interpolation": str(spec.interpolation),
                "resizer": str(spec.resizer),
            }
        ops.append(resize)
    crop: dict[str, Any] = {"type": "CenterCrop", "crop_size": [spec.crop] * 2}
    if spec.resize is None and spec.resizer is not Resizer.OPENCV:
        crop["resizer"] = str(spec.resizer)  # the two halve an odd rest differently
    ops.append(crop)
    if spec.color is Color.BGR:
        ops.append({"type": "CvtColor", "code": "COLOR_RGB2BGR"})
    mean, std, div255 = _normalize(spec)
    ops.append({"type": "Normalize", "div255": div255, "mean": mean, "std": std})
    return [*ops, {"type": "ToTensor"}]


def _normalize(spec: PreprocessSpec) -> tuple[list[float], list[float], bool]:
    """Mean and std for pixels in [0, 1], or for pixels as they are with any other scale."""
    if spec.scale == PIXEL_SCALE:
        return list(spec.mean), list(spec.std), True
    mean, std = raw_levels(spec)
    return list(mean), list(std), False
