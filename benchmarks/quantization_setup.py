"""What the quantization benchmark measures on: a home, the images in two halves, and builds."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evaluation_setup import Alone
from db.enums import Precision, WeightsKind
from db.models import Artifact
from engine.build import job as build
from engine.common.digests import data_digest
from engine.config import settings
from engine.datasets.reader import DatasetIndex, open_index, read_batches
from engine.datasets.registration import CheckedDataset, check_folder, register
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
    """What is exported; `name` is for the tables."""

    name: str
    spec: ExportSpec


class Aside(Alone):
    """A context that speaks on stderr, so that only tables stand on stdout."""

    def say(self, message: str) -> None:
        """A line of progress."""
        print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


class Bench:
    """A home with both halves registered; exports and builds are made once."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        settings.cache_clear()
        self.options, self.folder = options, folder
        self.url = prepare_database()
        self.threads = settings().threads
        self.models = [_model_of(text) for text in options.model or _usual(options.real_data)]
        self.speed_models = [
            Model(name, ExportSpec(model_id=name, weights=WeightsSpec(kind=WeightsKind.RANDOM)))
            for name in options.speed_models
        ]
        self._indices: list[DatasetIndex] = []

    @property
    def halves(self) -> list[DatasetIndex]:
        """Every second image, and the others; each class is in both where it has two images."""
        if not self._indices:
            root = self.options.images or self.options.real_data / "imagenet_1000"
            found = check_folder(root, None, lambda done, total: None)
            for half in HALVES:
                register(f"half-{half}", _half(found, half), self.url)
            self._indices = [open_index(self._dataset(half)) for half in HALVES]
        return self._indices

    def _dataset(self, half: int) -> Any:
        from engine.datasets.registration import find_dataset

        return find_dataset(f"half-{half}", self.url)

    def context(self) -> Aside:
        """A context whose workspace is new."""
        workspace = self.folder / f"work-{time.monotonic_ns()}"
        workspace.mkdir()
        return Aside(self.url, None, 1, workspace)  # type: ignore[arg-type]

    def export(self, model: Model) -> Artifact:
        """The export of a model."""
        digest = export.run(model.spec.to_json(), self.context())["artifact"]
        return artifacts.find_by_digest(digest, self.url)

    def build(self, model: Model, precision: str, dataset: str, **calibration: Any) -> Artifact:
        """A build of a model, looking at images of a dataset where it looks at any."""
        self.export(model)
        images = self.options.calibration_images
        asked: dict[str, Any] = {}
        if precision == Precision.INT8:
            asked["calibration"] = CalibrationSpec(dataset=dataset, images=images, **calibration)
        if precision == Precision.FP16:
            asked["range_check"] = RangeCheckSpec(dataset=dataset, images=images)
        spec = BuildSpec(export=model.spec, precision=Precision(precision), **asked)
        digest = build.run(spec.to_json(), self.context())["artifact"]
        return artifacts.find_by_digest(digest, self.url)

    def batches(self, model: Model, half: int, which: np.ndarray) -> Iterator[np.ndarray]:
        """Prepared images of a half, as the model wants them."""
        spec = artifacts.preprocess_of(self.export(model))
        return read_batches(self.halves[half], which, spec, BATCH, self.threads)


def _half(found: CheckedDataset, half: int) -> CheckedDataset:
    return replace(
        found,
        files=found.files[half::2],
        labels=found.labels[half::2],
        digest=data_digest([found.digest, half]),
    )


def _usual(real_data: Path) -> list[str]:
    return [
        f"timm/tf_mobilenetv3_small_100={real_data / SE_WEIGHTS}",
        f"onnx/squeezenet={real_data / SQUEEZENET}",
    ]


def _model_of(text: str) -> Model:
    """`ID=FILE`, with `@MEAN/STD` for an ONNX file that wants others than ImageNet's."""
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
