"""Groups of options that several commands share; a command takes each group as one parameter.

`request_fields` of a group are keyword arguments of a RunRequest.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from engine.cli import options as o
from engine.cli.parsing import read_preprocess, read_weights
from engine.datasets import label_files
from engine.runs.fields import DEFAULTS
from engine.specs.precisions import in_order

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Weights and precisions of the builds."""

    weights: o.Weights = "pretrained"
    weights_key: o.WeightsKey = None
    seed: o.Seed = 0
    precision: o.Precisions = None
    softmax: o.Softmax = False
    compare_fp32: o.CompareFp32 = DEFAULTS["compare_fp32"]

    def request_fields(self, runtime: list[str] | None = None) -> dict[str, Any]:
        """All precisions that the runtimes execute are built if none is given."""
        return {
            "weights": read_weights(self.weights, self.seed, self.weights_key),
            **precisions_and_runtimes(self.precision, runtime),
            "softmax": self.softmax,
            "compare_fp32": self.compare_fp32,
        }


def precisions_and_runtimes(
    precision: Iterable[str] | None, runtime: Iterable[str] | None
) -> dict[str, Any]:
    """Both fields of a request, without duplicates; by default what the runtimes execute."""
    runtimes = tuple(dict.fromkeys(runtime or DEFAULTS["runtimes"]))
    precisions = tuple(dict.fromkeys(in_order(precision, runtimes)))
    return {"precisions": precisions or in_order(), "runtimes": runtimes}


@dataclass(frozen=True, slots=True)
class CalibrationOptions:
    """Settings of the int8 quantization."""

    calibration_dataset: o.CalibrationDataset = None
    calibration_images: o.CalibrationImages = DEFAULTS["calibration_images"]
    calibration_method: o.CalibrationMethod = DEFAULTS["calibration_mode"]
    calibration_percentile: o.CalibrationPercentile = DEFAULTS["calibration_percentile"]
    excluded_layers: o.ExcludedLayers = None
    max_accuracy_drop: o.MaxAccuracyDrop = None
    target: o.Int8Target = DEFAULTS["target"]
    bias_correction: o.BiasCorrections = DEFAULTS["bias_correction"]

    def request_fields(self) -> dict[str, Any]:
        """Under the field names of a request; excluded layers sorted, without duplicates."""
        return {
            "calibration_dataset": self.calibration_dataset,
            "calibration_images": self.calibration_images,
            "calibration_mode": self.calibration_method,
            "calibration_percentile": self.calibration_percentile,
            "keep_in_float": tuple(sorted(set(self.excluded_layers or ()))),
            "max_drop": self.max_accuracy_drop,
            "target": self.target,
            "bias_correction": self.bias_correction,
        }


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """Conditions of a benchmark: one value each, or several for a sweep."""

    batch_sizes: o.BatchSizes = None
    threads: o.Threads = None
    concurrency: o.Concurrency = None
    ignore_cached: o.IgnoreCached = False
    max_seconds: o.MaxDuration = DEFAULTS["benchmark_max_s"]

    def request_fields(self) -> dict[str, Any]:
        """By default batch 1, one request in flight, all cores."""
        return {
            "batches": o.merge_values(self.batch_sizes, "batches"),
            "threads": o.merge_values(self.threads, "threads"),
            "instances": o.merge_values(self.concurrency, "instances"),
            "again": self.ignore_cached,
            "benchmark_max_s": self.max_seconds,
        }


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Facts about the outputs of an ONNX file that the file does not hold."""

    background: o.BackgroundClass = None
    output: o.OutputName = None

    def request_fields(self) -> dict[str, Any]:
        """Under the field names of a request."""
        return {"background": self.background, "output": self.output}


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """How a label file and its class numbers are read."""

    label_columns: o.LabelColumns = None
    label_base: o.LabelBase = None
    classes: o.ClassesFile = None

    def labeling_of(self, file: Path | None) -> label_files.LabelOptions:
        """The labeling by a label file, or by the folders if there is no file."""
        return label_files.LabelOptions(file, self.label_columns, self.label_base, self.classes)


@dataclass(frozen=True, slots=True)
class PreprocessOptions:
    """Preprocessing of the images."""

    protocol: o.ProtocolName = None
    preprocess: o.PreprocessFile = None
    resize: o.Resize = None
    crop: o.Crop = None
    interpolation: o.Interpolation = None
    resize_library: o.ResizeLibrary = None
    resize_mode: o.ResizeMode = None
    mean: o.Mean = None
    std: o.Std = None
    scale: o.Scale = None
    channel_order: o.ChannelOrder = None

    def read(self) -> dict[str, Any] | None:
        """The preprocessing, None for the published one; InvalidRequest if options conflict."""
        return read_preprocess(
            self.preprocess,
            self.protocol,
            resize=self.resize,
            crop=self.crop,
            interpolation=self.interpolation,
            resizer=self.resize_library,
            resize_mode=self.resize_mode,
            mean=self.mean,
            std=self.std,
            scale=self.scale,
            color=self.channel_order,
        )


def expand_groups(command: Callable[..., Result]) -> Callable[..., Result]:
    """Replaces each parameter that is a dataclass by the fields of that dataclass, as options.

    Typer reads the signature of a command, so the signature is rewritten; the command itself
    still receives each group as one value.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    options: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            options += _parameters_of(groups[name])
        else:
            options.append(parameter.replace(annotation=hints[name]))

    @wraps(command)
    def expanded(**values: Any) -> Result:
        group_values = {
            name: kind(**{field.name: values.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        return command(**values, **group_values)

    expanded.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    expanded.__annotations__ = {option.name: option.annotation for option in options}
    return expanded


def _parameters_of(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(f.name, kind, default=f.default, annotation=hints[f.name])
        for f in fields(group)
    ]
