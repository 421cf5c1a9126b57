"""The default mixed-precision build: the most sensitive layers stay in float, up to 10 % of MACs.

Sensitivity is analyzed once. `accuracy_control.search` continues from here where an accuracy
constraint is set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from engine.build.int8 import pipeline
from engine.build.int8.mixed_precision.layer_selection import (
    NEGLIGIBLE_NOISE,
    SensitivityAnalysis,
    analyze_sensitivity,
)
from engine.build.int8.mixed_precision.layer_times import (
    LayerTimes,
    compare_speed,
    measure_layer_times,
)
from engine.build.int8.mixed_precision.sensitivity import noise_to_sqnr_db
from engine.build.int8.pipeline import Calibration, PreparedModel
from engine.build.int8.stages import Stage
from engine.build.int8.targets import Target
from engine.onnx.graph_view import GraphView
from engine.store.int8_report import Int8Build

ANALYSIS_IMAGES = 16
"""Drawn at random from the calibration images. The layers selected from 16 are those from 32."""

Log = Callable[[str], None]
Progress = Callable[[int, int, str, str], None]


@dataclass(frozen=True, slots=True)
class HostTimer:
    """Measures on this machine: the time of layers, and the speed of a model relative to another.

    `layers` takes (outputs of convolutions, view of their graph, threads); `speed` takes (first
    model, second model, images, threads).
    """

    layers: Callable[[Iterable[str], GraphView, int], LayerTimes] = measure_layer_times
    speed: Callable[[ModelProto, ModelProto, np.ndarray, int], float] = compare_speed


@dataclass(frozen=True, slots=True)
class MixedPrecisionRequest:
    """An int8 build of `source` (float32), and the images for its sensitivity analysis.

    `required_float` layers are always in float; others are selected, up to `float_share` of the
    convolutions' MACs. `analysis_images` (n, 3, h, w); None: no analysis (random weights, whose
    scores have no meaning). `progress` takes (done, total, unit, message). `timer` measures times
    on the machine that the build is for; None where it is not this one.
    """

    source: ModelProto
    calibration: Calibration
    target: Target
    required_float: frozenset[str]
    float_share: float
    analysis_images: np.ndarray | None
    log: Log
    progress: Progress
    timer: HostTimer | None = None

    def prepare(self, float_layers: frozenset[str]) -> PreparedModel:
        """Prepares the source for quantization, with `float_layers` in float."""
        return pipeline.prepare(self.source, self.calibration, float_layers, self.target)

    def analyze_sensitivity(
        self,
        prepared: PreparedModel,
        negligible_noise: float = NEGLIGIBLE_NOISE,
        with_tensors: bool = False,
    ) -> SensitivityAnalysis:
        """Measures how each layer of `prepared` changes the scores of the analysis images."""
        assert self.analysis_images is not None

        def report_progress(done: int, total: int) -> None:
            self.calibration.report(Stage.SENSITIVITY, done, total)

        with self.calibration.times.measure(Stage.SENSITIVITY):
            return analyze_sensitivity(
                prepared,
                self.target,
                self.analysis_images,
                self.calibration.threads,
                report_progress,
                negligible_noise,
                with_tensors,
            )


@dataclass(frozen=True, slots=True)
class MixedPrecisionBuild:
    """The int8 model, the float model it was written from, and `facts` for the manifest."""

    model: ModelProto
    prepared: PreparedModel
    target: Target
    facts: Int8Build
    analysis: SensitivityAnalysis | None
    float_layers: frozenset[str]
    times: LayerTimes | None = None


def build_default(request: MixedPrecisionRequest) -> MixedPrecisionBuild:
    """int8 with the most sensitive layers in float; none where the noise of int8 is negligible."""
    prepared = request.prepare(request.required_float)
    if request.analysis_images is None or request.float_share <= 0:
        return write_int8(request, prepared, None, request.required_float)
    analysis = request.analyze_sensitivity(prepared)
    float_layers = select_default_layers(request, analysis)
    if float_layers != request.required_float:
        prepared = request.prepare(float_layers)
    return write_int8(request, prepared, analysis, float_layers)


def select_default_layers(
    request: MixedPrecisionRequest, analysis: SensitivityAnalysis
) -> frozenset[str]:
    """The layers that the default keeps in float; logs the SQNR and their share of MACs."""
    full_int8 = analysis.sensitivity.full_int8
    request.log(f"Full-int8 logits SQNR: {noise_to_sqnr_db(full_int8):.1f} dB.")
    if full_int8 <= NEGLIGIBLE_NOISE:
        return request.required_float
    float_layers = request.required_float | analysis.select(request.float_share)
    share = analysis.macs_share(float_layers)
    request.log(f"{len(float_layers)} layers stay in float: {share:.1%} of the convolutions' MACs.")
    return float_layers


def write_int8(
    request: MixedPrecisionRequest,
    prepared: PreparedModel,
    analysis: SensitivityAnalysis | None,
    float_layers: frozenset[str],
) -> MixedPrecisionBuild:
    """Quantizes a prepared model and collects its facts."""
    with request.calibration.times.measure(Stage.WRITING):
        model, facts = pipeline.quantize(prepared, request.target, request.calibration)
    if analysis is not None:
        facts = facts.model_copy(
            update={
                "noise_db_all_int8": noise_to_sqnr_db(analysis.sensitivity.full_int8),
                "float_share": analysis.macs_share(float_layers),
            }
        )
    return MixedPrecisionBuild(model, prepared, request.target, facts, analysis, float_layers)
