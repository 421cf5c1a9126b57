"""Groups of options that several commands share, each with what it asks of a run.

`asked` of a group are fields of a RunRequest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.cli import options as o
from engine.cli.parsing import read_preprocess, read_weights
from engine.datasets import label_files
from engine.runs.fields import DEFAULTS
from engine.specs.precisions import in_order


@dataclass(frozen=True, slots=True)
class Builds:
    """Which weights, at which precisions."""

    weights: o.Weights = "pretrained"
    weights_key: o.WeightsKey = None
    seed: o.Seed = 0
    precision: o.Precisions = None
    softmax: o.Softmax = False

    def asked(self) -> dict[str, Any]:
        """All precisions where none was named."""
        return {
            "weights": read_weights(self.weights, self.seed, self.weights_key),
            "precisions": tuple(dict.fromkeys(in_order(self.precision))),
            "softmax": self.softmax,
        }


@dataclass(frozen=True, slots=True)
class Calibration:
    """How int8 is made."""

    calibrate_on: o.CalibrationSet = None
    calibration_images: o.CalibrationImages = DEFAULTS["calibration_images"]
    calibrate: o.CalibrationWay = DEFAULTS["calibration_mode"]
    percentile: o.Percentile = DEFAULTS["calibration_percentile"]
    keep_in_float: o.KeepInFloat = None
    max_drop: o.MaxDrop = None
    target: o.Int8Target = DEFAULTS["target"]

    def asked(self) -> dict[str, Any]:
        """Under the names that a request has for them."""
        return {
            "calibration_dataset": self.calibrate_on,
            "calibration_images": self.calibration_images,
            "calibration_mode": self.calibrate,
            "calibration_percentile": self.percentile,
            "keep_in_float": tuple(sorted(set(self.keep_in_float or ()))),
            "max_drop": self.max_drop,
            "target": self.target,
        }


@dataclass(frozen=True, slots=True)
class Points:
    """At which settings a build is benchmarked, and for how long."""

    batch: o.Batches = None
    threads: o.Threads = None
    instances: o.Instances = None
    again: o.Again = False
    max_seconds: o.Seconds = DEFAULTS["benchmark_max_s"]

    def asked(self) -> dict[str, Any]:
        """One request at a time on all cores where nothing was said."""
        return {
            "batches": o.joined(self.batch, "batches"),
            "threads": o.joined(self.threads, "threads"),
            "instances": o.joined(self.instances, "instances"),
            "again": self.again,
            "benchmark_max_s": self.max_seconds,
        }


@dataclass(frozen=True, slots=True)
class Outputs:
    """What an ONNX file does not say of its outputs."""

    background: o.Background = None
    output: o.Output = None

    def asked(self) -> dict[str, Any]:
        """Under the names that a request has for them."""
        return {"background": self.background, "output": self.output}


@dataclass(frozen=True, slots=True)
class Labeling:
    """How a label file and the numbers of classes are read."""

    label_columns: o.LabelColumns = None
    label_base: o.LabelBase = None
    classes: o.ClassesFile = None

    def of(self, file: Path | None) -> label_files.LabelOptions:
        """With the label file, if there is one."""
        return label_files.LabelOptions(file, self.label_columns, self.label_base, self.classes)


@dataclass(frozen=True, slots=True)
class Preparation:
    """How images are prepared."""

    protocol: o.ProtocolName = None
    preprocess: o.PreprocessFile = None
    resize: o.Resize = None
    crop: o.Crop = None
    interpolation: o.Interpolation = None
    resizer: o.Resizer = None
    resize_mode: o.ResizeMode = None
    mean: o.Mean = None
    std: o.Std = None
    scale: o.Scale = None
    color: o.Color = None

    def read(self) -> dict[str, Any] | None:
        """The preprocessing, None: as published; InvalidRequest where options do not agree."""
        return read_preprocess(
            self.preprocess,
            self.protocol,
            resize=self.resize,
            crop=self.crop,
            interpolation=self.interpolation,
            resizer=self.resizer,
            resize_mode=self.resize_mode,
            mean=self.mean,
            std=self.std,
            scale=self.scale,
            color=self.color,
        )
