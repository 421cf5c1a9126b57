"""Setup of the quantization benchmark: a home, the images in two halves, and builds."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evaluation_setup import StandaloneContext
from benchmarks.quantization_processes import BuildCost, cost_of, home, run_case
from db.enums import Precision, WeightsKind
from db.models import Artifact
from engine.build import job as build
from engine.common.digests import data_digest
from engine.config import settings
from engine.datasets.reader import DatasetIndex, open_index, read_batches
from engine.datasets.registration import (
    CheckedDataset,
    check_folder,
    find_dataset,
    register,
)
from engine.export import job as export
from engine.specs import BuildSpec, CalibrationSpec, ExportSpec, RangeCheckSpec, WeightsSpec
from engine.store import artifacts
from engine.store.database import prepare_database

BATCH = 16
SE_WEIGHTS = "weights/tf_mobilenetv3_small_100.safetensors"
SQUEEZENET = "weights/squeezenet1_1.onnx"
HALVES = (0, 1)


@dataclass(frozen=True, slots=True)
class Model:
    """A model to export; `name` is shown in tables."""

    name: str
    spec: ExportSpec


class StderrContext(StandaloneContext):
    """A context that logs to stderr, so that stdout has only tables."""

    def say(self, message: str) -> None:
        """Prints a progress message."""
        print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


class Bench:
    """A home with both halves registered; each export and build is made once."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        settings.cache_clear()
        self.options, self.folder = options, folder
        self.url = prepare_database()
        self.threads = settings().threads
        self.models = [
            _model_of(text) for text in options.model or _default_models(options.real_data)
        ]
        self.speed_models = [
            Model(name, ExportSpec(model_id=name, weights=WeightsSpec(kind=WeightsKind.RANDOM)))
            for name in options.speed_models
        ]
        self._indices: list[DatasetIndex] = []

    @property
    def halves(self) -> list[DatasetIndex]:
        """The images with even and with odd index; classes with two images are in both halves."""
        if not self._indices:
            root = self.options.images or self.options.real_data / "imagenet_1000"
            found = check_folder(root, None, lambda done, total: None)
            for half in HALVES:
                register(f"half-{half}", _half(found, half), self.url)
            self._indices = [open_index(self._dataset(half)) for half in HALVES]
        return self._indices

    def _dataset(self, half: int) -> Any:
        return find_dataset(f"half-{half}", self.url)

    def index(self, dataset: str) -> DatasetIndex:
        """The index of a registered dataset."""
        return open_index(find_dataset(dataset, self.url))

    def context(self) -> StderrContext:
        """A context with a new workspace."""
        workspace = self.folder / f"work-{time.monotonic_ns()}"
        workspace.mkdir()
        return StderrContext(self.url, None, 1, workspace)  # type: ignore[arg-type]

    def export(self, model: Model) -> Artifact:
        """The export of a model."""
        digest = export.run(model.spec.to_json(), self.context())["artifact"]
        return artifacts.find_by_digest(digest, self.url)

    def build(self, model: Model, precision: str, dataset: str, **calibration: Any) -> Artifact:
        """A build of a model; int8 and fp16 builds use images of `dataset`."""
        spec = self._spec(model, precision, dataset, **calibration)
        digest = build.run(spec.to_json(), self.context())["artifact"]
        return artifacts.find_by_digest(digest, self.url)

    def build_in_process(
        self, model: Model, dataset: str, **calibration: Any
    ) -> tuple[Artifact, BuildCost]:
        """An int8 build in a process of its own, without statistics of earlier ones; its cost."""
        shutil.rmtree(settings().folder("cache") / "calibrations", ignore_errors=True)
        spec = self._spec(model, Precision.INT8, dataset, **calibration)
        workspace = self.context().workspace
        case = {"home": home(), "url": self.url, "workspace": str(workspace)}
        found = run_case(kind="build", spec=spec.to_json(), **case)
        return artifacts.find_by_digest(found["artifact"], self.url), cost_of(found)

    def _spec(self, model: Model, precision: str, dataset: str, **calibration: Any) -> BuildSpec:
        self.export(model)
        images = calibration.pop("images", self.options.calibration_images)
        data_specs: dict[str, Any] = {}
        if precision == Precision.INT8:
            data_specs["calibration"] = CalibrationSpec(
                dataset=dataset, images=images, **calibration
            )
        if precision == Precision.FP16:
            data_specs["range_check"] = RangeCheckSpec(dataset=dataset, images=images)
        return BuildSpec(export=model.spec, precision=Precision(precision), **data_specs)

    def batches(self, model: Model, dataset: str, which: np.ndarray) -> Iterator[np.ndarray]:
        """Preprocessed images of a dataset, in batches."""
        spec = artifacts.preprocess_of(self.export(model))
        return read_batches(self.index(dataset), which, spec, BATCH, self.threads)


def _half(found: CheckedDataset, half: int) -> CheckedDataset:
    return replace(
        found,
        files=found.files[half::2],
        labels=found.labels[half::2],
        digest=data_digest([found.digest, half]),
    )


def _default_models(real_data: Path) -> list[str]:
    return [
        f"timm/tf_mobilenetv3_small_100={real_data / SE_WEIGHTS}",
        f"onnx/squeezenet={real_data / SQUEEZENET}",
    ]


def _model_of(text: str) -> Model:
    """Parses `ID=FILE`, with `@MEAN/STD` for an ONNX file that does not use those of ImageNet."""
    name, _, rest = text.partition("=")
    path, _, normal = rest.partition("@")
    preprocess: dict[str, Any] | None = None
    if name.startswith("onnx/"):
        preprocess = {"resize": 256, "crop": 224}
        if normal:
            mean, std = ([float(x) for x in part.split(",")] for part in normal.split("/"))
            preprocess |= {"mean": mean, "std": std}
    weights = WeightsSpec(kind=WeightsKind.FILE, path=path)
    return Model(name, ExportSpec(model_id=name, weights=weights, preprocess=preprocess))
