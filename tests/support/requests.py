"""Values for every field of a request that are not its default, as few others would choose."""

from __future__ import annotations

from typing import Any

from engine.preprocess.protocols import VENDOR
from engine.preprocess.spec import PIXEL_SCALE

OTHER_VALUES: dict[str, tuple[Any, ...]] = {
    "weights": (
        {"kind": "random", "seed": 7},
        {"kind": "file", "path": "/weights/net.pth", "key": "ema"},
        {"key": "state_dict_ema"},
    ),
    "other_models": (
        ({"model_id": "timm/other", "weights": {"kind": "random", "seed": 9}}, {"model_id": "x/y"}),
    ),
    "name": ("first of May",),
    "notes": ("Two\nlines.",),
    "tags": (("a", "b c"),),
    "hosts": (("edge-a", "like:edge-b"),),
    "precisions": (("int8", "fp32"), ("fp16",), ()),
    "tasks": (("benchmark", "export"), ("profile",), ("evaluate",), ()),
    "dataset": ("gone", "demo"),
    "limit": (1, 77),
    "calibration_dataset": ("gone", "demo-calibration"),
    "calibration_images": (1, 64),
    "calibration_mode": ("max", "percentile", "kl_divergence"),
    "calibration_percentile": (99.9876543, 100.0),
    "keep_in_float": ((0, 4),),
    "max_drop": (0.015, 12.345678901),
    "target": ("x86-vnni", "x86", "arm", "tensorrt"),
    "bias_correction": ("accurate",),
    "softmax": (True,),
    "batches": ((3, 8, 24), (8, 1), ()),
    "threads": ((3,), (1, 0)),
    "instances": ((6, 2),),
    "scenario": ("single-stream", "offline", "server"),
    "rate_per_s": (33.125,),
    "limit_ms": (9.75,),
    "arrivals_seed": (5,),
    "again": (True,),
    "compare_fp32": (False,),
    "runtimes": (("another",), ("onnxruntime", "another")),
    "provider": ("CUDAExecutionProvider", "OtherExecutionProvider"),
    "benchmark_max_s": (12.5, 1.0, 0.5),
    "preprocess": (
        {"crop": 192},
        {"resize": None, "scale": 0.0171234567, "mean": [0.4853515625, 0.1, 1 / 3]},
        {"scale": 1.0, "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]},
        {**VENDOR.to_dict(), "color": "bgr", "resize": 288},
        VENDOR.to_dict(),
    ),
    "evaluation_preprocess": (
        {"resize": 236, "interpolation": "bicubic", "scale": PIXEL_SCALE},
        {"resizer": "opencv", "resize_mode": "squash", "std": [0.5, 0.25, 0.2]},
        VENDOR.to_dict(),
    ),
    "background": (0, 3),
    "output": ("scores",),
    "format": ("torchscript",),
    "via": ("paddle2onnx",),
}
