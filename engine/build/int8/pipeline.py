"""The int8 pipeline: rewrite the graph, collect statistics, equalize, choose ranges, write QDQ."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto

from engine.build.int8.equalization.cross_layer import equalize
from engine.build.int8.mixed_precision.sensitivity import FakeQuantizer
from engine.build.int8.passes.channels_last import arrange_channels_last
from engine.build.int8.passes.channelwise_mul import unscaling_to_mul
from engine.build.int8.passes.hard_swish import hard_gates_to_convolutions, split_hard_swish
from engine.build.int8.passes.squeeze import squeeze_to_global_pool
from engine.build.int8.qdq.bias_correction import correct_biases
from engine.build.int8.qdq.placement import WEIGHTED_OPS, QuantizerPlacement, place_quantizers
from engine.build.int8.qdq.placement_tensorrt import place_quantizers_for_tensorrt
from engine.build.int8.qdq.qparams import choose_qparams
from engine.build.int8.qdq.weights import WeightCache
from engine.build.int8.qdq.writer import write_qdq_model
from engine.build.int8.stages import Stage, StageTimes
from engine.build.int8.statistics.cache import StatisticsCache, range_key
from engine.build.int8.statistics.channel_statistics import (
    ChannelStatistics,
    SampleScores,
    collect_channel_statistics,
)
from engine.build.int8.statistics.hard_swish_ranges import (
    HardSwishSample,
    create_hard_swish_samples,
)
from engine.build.int8.statistics.histograms import (
    MSE_IMAGES,
    MSE_VALUES,
    TARGET_VALUES,
    collect_histograms,
    first_images,
)
from engine.build.int8.statistics.observers import observed_tensors
from engine.build.int8.statistics.range_estimators import RANGE_ESTIMATORS, Ranges
from engine.build.int8.targets import Target, get_target
from engine.onnx.graph_view import view_of
from engine.specs import TargetName
from engine.store.int8_report import Int8Build

Batches = Callable[[], Iterable[np.ndarray]]
Progress = Callable[[Stage, float], None]

DEFAULT_TARGET = get_target(TargetName.X86_VNNI)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration images and method; `images` returns the same batches, in random order.

    `percentile` (0 to 100) is for the method of that name. `progress` takes (stage, share done).
    Statistics of one call of `prepare` are reused by the next through `statistics_cache`. `scores`
    takes the float scores of the first images where a pass over them is made. `bias_images` (n, 3,
    h, w): images of the accurate bias correction; None: the fast one.
    """

    images: Batches
    method: str
    percentile: float
    threads: int
    progress: Progress
    image_count: int = 300
    statistics_cache: StatisticsCache = field(default_factory=StatisticsCache)
    weight_cache: WeightCache = field(default_factory=WeightCache)
    times: StageTimes = field(default_factory=StageTimes)
    scores: SampleScores | None = None
    bias_images: np.ndarray | None = None

    def report(self, stage: Stage, images_done: int, images: int) -> None:
        """Reports the progress of a pass over `images` images."""
        self.progress(stage, min(images_done / max(images, 1), 1.0))


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A float graph ready for quantization; it computes the same as its source, up to rounding.

    `facts` go into the manifest. `channel_factors`: tensor -> what equalization multiplied its
    channels by; others are as in the source.
    """

    model: ModelProto
    placement: QuantizerPlacement
    ranges: Ranges
    channel_means: dict[str, np.ndarray]
    facts: Int8Build
    weight_cache: WeightCache
    channel_factors: dict[str, np.ndarray] = field(default_factory=dict)


def prepare(
    source: ModelProto,
    calibration: Calibration,
    excluded_layers: frozenset[str] = frozenset(),
    target: Target = DEFAULT_TARGET,
) -> PreparedModel:
    """Rewrites a copy of `source`, equalizes its channels and estimates the range of each tensor.

    `max` needs one pass over the images, the other methods a second one; cached statistics need
    none. Raises BuildFailed, which names the layer, where a value is not finite, and where there is
    no image.
    """
    model = ModelProto()
    model.CopyFrom(source)
    _name_nodes(model)
    squeezes = squeeze_to_global_pool(model)
    split_hard_swish(model)
    with calibration.times.measure(Stage.STATISTICS):
        statistics = _collect_statistics(model, calibration)
    constant = _constant_layers(model, statistics)
    with calibration.times.measure(Stage.EQUALIZATION):
        equalized = equalize(model, statistics, excluded_layers)
    if target.fuses_only_in_integers:
        gates = hard_gates_to_convolutions(model, excluded_layers)
        placement = place_quantizers(model, excluded_layers)
    else:
        gates = 0
        unscaling_to_mul(model)
        placement = place_quantizers_for_tensorrt(model, excluded_layers)
    with calibration.times.measure(Stage.STATISTICS):
        statistics = equalized.statistics | _missing_statistics(
            model, placement, equalized.statistics, calibration
        )
    ranges = _min_max_ranges(placement, statistics)
    if calibration.method != "max":
        with calibration.times.measure(Stage.RANGES):
            ranges = _ranges_by_distribution(model, placement, ranges, statistics, calibration)
    facts = Int8Build(
        squeezes_rewritten=squeezes,
        gates_rewritten=gates,
        equalization=equalized.strengths,
        kept_in_float=placement.float_nodes,
        constant=constant,
    )
    channel_means = {name: channels.mean for name, channels in equalized.statistics.items()}
    return PreparedModel(
        model,
        placement,
        ranges,
        channel_means,
        facts,
        calibration.weight_cache,
        equalized.factors,
    )


def create_fake_quantizer(prepared: PreparedModel, target: Target) -> FakeQuantizer:
    """Simulates in float what `quantize` would write, for sensitivity analysis."""
    qparams = choose_qparams(prepared.placement, prepared.ranges, target.activations)
    bound_pairs = target.adds_pairs_in_16_bits
    return FakeQuantizer(
        prepared.model,
        prepared.placement,
        qparams,
        prepared.channel_means,
        bound_pairs,
        prepared.weight_cache,
    )


def quantize(
    prepared: PreparedModel, target: Target, calibration: Calibration | None = None
) -> tuple[ModelProto, Int8Build]:
    """(int8 model, facts for the manifest); `target` must be the one it was prepared for.

    `calibration` with `bias_images`: biases are corrected accurately, layer after layer.
    """
    qparams = choose_qparams(prepared.placement, prepared.ranges, target.activations)
    model = write_qdq_model(
        prepared.model,
        prepared.placement,
        qparams,
        target,
        prepared.channel_means,
        prepared.weight_cache,
    )
    if calibration is not None and calibration.bias_images is not None:
        with calibration.times.measure(Stage.BIASES):
            correct_biases(
                model,
                prepared.model,
                prepared.placement.view,
                calibration.bias_images,
                calibration.threads,
                lambda share: calibration.progress(Stage.BIASES, share),
            )
    arrange_channels_last(model, prepared.placement.view, target)
    return model, prepared.facts.model_copy(
        update={
            "format": "QDQ",
            "target": target.facts(),
            "activations": str(target.activations),
            "weights": target.weights,
        }
    )


def _collect_statistics(
    model: ModelProto, calibration: Calibration
) -> dict[str, ChannelStatistics]:
    view = view_of(model)
    names = observed_tensors(model, view)
    statistics = calibration.statistics_cache.find_statistics(model, names, view)
    if statistics is None:
        statistics = _run_statistics_pass(model, names, calibration)
        calibration.statistics_cache.store_statistics(model, statistics)
    return statistics


def _missing_statistics(
    model: ModelProto,
    placement: QuantizerPlacement,
    statistics: dict[str, ChannelStatistics],
    calibration: Calibration,
) -> dict[str, ChannelStatistics]:
    """Statistics of quantized tensors that were not observed in the first pass."""
    missing = [name for name in placement.quantized if name not in statistics]
    return _run_statistics_pass(model, missing, calibration) if missing else {}


def _run_statistics_pass(
    model: ModelProto, names: list[str], calibration: Calibration
) -> dict[str, ChannelStatistics]:
    return collect_channel_statistics(
        model,
        names,
        calibration.images(),
        calibration.threads,
        lambda done: calibration.report(Stage.STATISTICS, done, calibration.image_count),
        calibration.scores,
    )


def _ranges_by_distribution(
    model: ModelProto,
    placement: QuantizerPlacement,
    min_max: Ranges,
    statistics: dict[str, ChannelStatistics],
    calibration: Calibration,
) -> Ranges:
    """Ranges by a calibration method that needs the distribution of values.

    Vectors keep the range from min to max: they have few values, and each stands for a whole
    feature map.
    """
    maps = [name for name in min_max if not placement.view.is_vector(name)]
    fixed_size = [name for name in maps if all(placement.view.shapes[name][1:])]
    samples = (
        create_hard_swish_samples(fixed_size, placement.view) if calibration.method == "mse" else {}
    )
    method = [calibration.method, calibration.percentile]
    keys = {}
    for name in maps:
        sample = samples.get(name)
        gate_line = () if sample is None else (sample.slopes, sample.offsets)
        keys[name] = range_key(name, method, statistics[name], *gate_line)
    ranges = calibration.statistics_cache.find_ranges(keys)
    missing = {name: min_max[name] for name in maps if name not in ranges}
    if missing:
        estimated = _ranges_from_histograms(model, missing, samples, calibration)
        calibration.statistics_cache.store_ranges(keys, estimated)
        ranges |= estimated
    return min_max | ranges


def _ranges_from_histograms(
    model: ModelProto,
    min_max: Ranges,
    samples: dict[str, HardSwishSample],
    calibration: Calibration,
) -> Ranges:
    samples = {name: sample for name, sample in samples.items() if name in min_max}
    images, target_values = calibration.image_count, TARGET_VALUES
    if calibration.method == "mse":
        images, target_values = min(images, MSE_IMAGES), MSE_VALUES
    histograms = collect_histograms(
        model,
        min_max,
        first_images(calibration.images(), images),
        calibration.threads,
        lambda images_done: calibration.report(Stage.RANGES, images_done, images),
        samples,
        images,
        target_values,
    )
    estimate = RANGE_ESTIMATORS[calibration.method]
    ranges = {name: estimate(h, calibration.percentile) for name, h in histograms.items()}
    with ThreadPoolExecutor(calibration.threads) as pool:
        refined = pool.map(lambda name: samples[name].estimate_range(*min_max[name]), samples)
        return ranges | dict(zip(samples, refined, strict=True))


def _min_max_ranges(
    placement: QuantizerPlacement, statistics: dict[str, ChannelStatistics]
) -> Ranges:
    """Ranges from min to max of all quantized tensors."""
    return {
        name: (float(statistics[name].low.min()), float(statistics[name].high.max()))
        for name in placement.quantized
    }


def _constant_layers(model: ModelProto, statistics: dict[str, ChannelStatistics]) -> list[str]:
    """Names of layers (by their weights) whose channels have a constant output on all images."""
    producers = {node.output[0]: node for node in model.graph.node}
    constant_layers = {}
    for name, tensor_statistics in statistics.items():
        if (tensor_statistics.low == tensor_statistics.high).all():
            tensor = name
            while tensor in producers and producers[tensor].op_type not in WEIGHTED_OPS:
                tensor = producers[tensor].input[0]
            layer = producers.get(tensor)
            constant_layers[layer.input[1].removesuffix(".weight") if layer else tensor] = name
    return list(constant_layers)


def _name_nodes(model: ModelProto) -> None:
    """Gives each node a name, which the passes need and exporters may omit."""
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
