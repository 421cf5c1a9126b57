"""The request of a run, as validated data, and the combinations that its benchmarks measure."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from db.enums import Precision
from engine.common.untrusted import MAX_CLASSES, MAX_INTEGER
from engine.config import settings
from engine.specs import (
    CALIBRATION_IMAGES,
    CPU_PROVIDER,
    DEFAULT_RUNTIME,
    PERCENTILE,
    BiasCorrection,
    CalibrationMode,
    ExportFormat,
    ExportRoute,
    Scenario,
    TargetName,
    WeightsSpec,
)
from engine.specs.base import Spec
from engine.specs.datasets import BUILTIN_CALIBRATION, BUILTIN_DATASETS
from engine.specs.precisions import file_precision, in_order

Batch = Annotated[int, Field(ge=1, le=4096)]
Threads = Annotated[int, Field(ge=0, le=1024)]
Instances = Annotated[int, Field(ge=1, le=256)]
Tag = Annotated[str, Field(min_length=1, max_length=40)]
HostChoice = Annotated[str, Field(min_length=1, max_length=70)]
MAX_MODELS = 500
"""Most models of one run."""


class Task(StrEnum):
    """A task of a run. A build includes the export, a measurement includes the build."""

    EXPORT = "export"
    BUILD = "build"
    BENCHMARK = "benchmark"
    EVALUATE = "evaluate"
    PROFILE = "profile"


DEFAULT_TASKS = (Task.EXPORT, Task.BUILD, Task.BENCHMARK, Task.EVALUATE)


class OtherModel(Spec):
    """A further model of a run, with its weights."""

    model_id: str
    weights: WeightsSpec = WeightsSpec()

    def to_key(self) -> tuple[str, str]:
        """What makes it another model of a run: the model, and where its weights come from."""
        return self.model_id, self.weights.model_dump_json()


class RunRequest(Spec):
    """Models with their weights, the precisions to build, the runtimes and the tasks to do.

    `model_id` and `weights` are the first model; `other_models` get the same precisions, runtimes,
    tasks and options. `name`, `notes` and `tags` are for people, and change no result. `hosts` are
    those that measure, by label; `like:LABEL` is any of its device model; none: any host.

    `preprocess` is that of the export and of everything built from it; `evaluation_preprocess`
    replaces it in evaluations only. Each build is benchmarked at every combination of `batches`,
    `instances` (concurrency) and `threads`, in one `scenario`, and profiled at the first batch size
    and thread count.
    """

    model_id: str
    weights: WeightsSpec = WeightsSpec()
    other_models: tuple[OtherModel, ...] = Field(
        (), max_length=MAX_MODELS - 1, exclude_if=lambda models: not models
    )
    name: str | None = Field(None, max_length=100, exclude_if=lambda name: name is None)
    notes: str | None = Field(None, max_length=5000, exclude_if=lambda notes: notes is None)
    tags: tuple[Tag, ...] = Field((), max_length=20, exclude_if=lambda tags: not tags)
    hosts: tuple[HostChoice, ...] = Field((), max_length=50, exclude_if=lambda hosts: not hosts)
    precisions: tuple[Precision, ...] = Field(default_factory=in_order)
    tasks: tuple[Task, ...] = DEFAULT_TASKS
    runtimes: tuple[str, ...] = Field(
        (DEFAULT_RUNTIME,), min_length=1, exclude_if=lambda names: names == (DEFAULT_RUNTIME,)
    )
    dataset: str | None = None
    limit: int | None = Field(None, ge=1, le=MAX_INTEGER)
    calibration_dataset: str | None = None
    calibration_images: int = Field(CALIBRATION_IMAGES, ge=1, le=50_000)
    calibration_mode: CalibrationMode = CalibrationMode.MSE
    calibration_percentile: float = Field(PERCENTILE, gt=50, le=100)
    keep_in_float: tuple[int, ...] = ()
    max_drop: float | None = Field(None, gt=0, le=100)
    target: TargetName = TargetName.AUTO
    bias_correction: BiasCorrection = Field(
        BiasCorrection.FAST, exclude_if=lambda chosen: chosen == BiasCorrection.FAST
    )
    softmax: bool = False
    batches: tuple[Batch, ...] = (1,)
    threads: tuple[Threads, ...] = (0,)
    instances: tuple[Instances, ...] = (1,)
    scenario: Scenario = Scenario.CLOSED_LOOP
    rate_per_s: float | None = Field(None, gt=0)
    limit_ms: float | None = Field(None, gt=0)
    arrivals_seed: int = Field(0, ge=0, le=MAX_INTEGER)
    again: bool = Field(False, description="ignore cached results of a sweep")
    compare_fp32: bool = True
    provider: str = CPU_PROVIDER
    preprocess: dict[str, Any] | None = None
    background: int | None = Field(None, ge=0, le=MAX_CLASSES)
    output: str | None = Field(
        None, description="name of the output with the scores, for an ONNX file with several"
    )
    classes: tuple[int, ...] = Field(
        (), description="class counts of the dataset, to find the scores output; set when queued"
    )
    format: ExportFormat = "onnx"
    via: ExportRoute = "torch"
    evaluation_preprocess: dict[str, Any] | None = None
    benchmark_max_s: float = Field(30.0, gt=0, le=3600)

    @model_validator(mode="before")
    @classmethod
    def _wrap_single_runtime(cls, values: Any) -> Any:
        """Requests of versions with one runtime for all precisions hold its name."""
        if not isinstance(values, dict) or "runtime" not in values:
            return values
        others = {name: value for name, value in values.items() if name != "runtime"}
        return {"runtimes": (values["runtime"],), **others}

    @field_validator("threads", "instances", mode="before")
    @classmethod
    def _wrap_single_number(cls, value: Any) -> Any:
        """Requests of versions without sweeps hold one number."""
        return (value,) if isinstance(value, int) else value

    @property
    def models(self) -> tuple[OtherModel, ...]:
        """All models of the run in order, each once."""
        first = OtherModel(model_id=self.model_id, weights=self.weights)
        distinct = {model.to_key(): model for model in (first, *self.other_models)}
        return tuple(distinct.values())

    def for_each_model(self) -> tuple[RunRequest, ...]:
        """The requests of one model each that this one consists of."""
        if not self.other_models:
            return (self,)
        return tuple(self.for_model(model) for model in self.models)

    def for_model(self, model: OtherModel) -> RunRequest:
        """The same request of this model alone."""
        own = {"model_id": model.model_id, "weights": model.weights, "other_models": ()}
        return self.model_copy(update=own)

    @property
    def effective_calibration_dataset(self) -> str:
        """The requested calibration dataset, else the evaluation dataset.

        For a built-in dataset, or without a dataset, synthetic images: the speed of int8 is right,
        its accuracy is poor unless the model is the demo's.
        """
        if self.calibration_dataset:
            return self.calibration_dataset
        if self.dataset and self.dataset not in BUILTIN_DATASETS:
            return self.dataset
        return BUILTIN_CALIBRATION

    @property
    def overflow_check_dataset(self) -> str | None:
        """Dataset of the fp16 overflow check, as for int8; None where the run names no dataset."""
        return (
            self.effective_calibration_dataset if self.calibration_dataset or self.dataset else None
        )

    @property
    def built_precisions(self) -> tuple[Precision, ...]:
        """The precisions that the run builds; empty for an export only."""
        return self.precisions if set(self.tasks) - {Task.EXPORT} else ()

    @property
    def built_files(self) -> frozenset[str]:
        """The precisions of the model files that the run builds."""
        return frozenset(map(file_precision, self.built_precisions))

    @property
    def measures_files(self) -> bool:
        """Whether its benchmarks send image files of the dataset."""
        return Task.BENCHMARK in self.tasks and self.scenario == Scenario.END_TO_END

    @property
    def required_datasets(self) -> tuple[str, ...]:
        """Names of the datasets that the run reads: evaluation, calibration, overflow check."""
        read = Task.EVALUATE in self.tasks or self.measures_files
        names = [self.dataset if read else None]
        names += [self.images_for(precision) for precision in self.built_precisions]
        return tuple(dict.fromkeys(filter(None, names)))

    def images_for(self, precision: Precision) -> str | None:
        """Name of the dataset that the build of a precision reads; None if it needs none."""
        attribute = _IMAGES.get(file_precision(precision))
        return getattr(self, attribute) if attribute else None


_IMAGES: dict[str, str] = {
    Precision.INT8: "effective_calibration_dataset",
    Precision.FP16: "overflow_check_dataset",
}


DEMO = RunRequest(
    model_id="demo/senet",
    dataset="demo",
    calibration_dataset=BUILTIN_CALIBRATION,
    calibration_images=256,
    benchmark_max_s=5,
)


@dataclass(frozen=True, slots=True)
class Point:
    """One combination of a sweep; `instances` is the concurrency.

    `threads` are those of each request in flight; 0 means all cores divided by the concurrency.
    """

    batch: int
    instances: int
    threads: int

    def threads_per_request(self, cores: int) -> int:
        """Intra-op threads of each request in flight on a machine of `cores` cores."""
        return self.threads or max(1, cores // self.instances)


def benchmark_points(request: RunRequest, cores: int | None = None) -> tuple[Point, ...]:
    """Every combination of batch size, concurrency and threads in measurement order, no duplicates.

    Two combinations are duplicates if they use the same number of threads on `cores` cores.
    """
    cores = cores or settings().threads
    points: dict[tuple[int, int, int], Point] = {}
    for values in itertools.product(request.threads, request.instances, request.batches):
        point = Point(batch=values[2], instances=values[1], threads=values[0])
        points.setdefault((point.batch, point.instances, point.threads_per_request(cores)), point)
    return tuple(points.values())


def is_sweep(request: RunRequest) -> bool:
    """Whether each build is measured at more than one combination."""
    return len(benchmark_points(request)) > 1
