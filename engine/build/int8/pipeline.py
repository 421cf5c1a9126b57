"""The int8 recipe: rewrite, observe, equalize, choose ranges, write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto

from engine.build.int8.equalization.cross_layer import equalize
from engine.build.int8.mixed_precision.sensitivity import Rounding
from engine.build.int8.passes.channels_last import arrange
from engine.build.int8.passes.channelwise_mul import unscaling_as_products
from engine.build.int8.passes.hard_swish import hard_gates_to_convolutions, split_hard_swish
from engine.build.int8.passes.squeeze import squeeze_to_global_pool
from engine.build.int8.qdq.placement import WEIGHTED, Placing, place
from engine.build.int8.qdq.placement_tensorrt import place_for_tensorrt
from engine.build.int8.qdq.qparams import choose_grids
from engine.build.int8.qdq.writer import write
from engine.build.int8.statistics.cache import Known, range_key
from engine.build.int8.statistics.channel_statistics import ChannelStats, channel_stats
from engine.build.int8.statistics.hard_swish_ranges import GateSample, gate_samples
from engine.build.int8.statistics.histograms import histograms
from engine.build.int8.statistics.observers import wanted
from engine.build.int8.statistics.range_estimators import RANGE_OF, Ranges
from engine.build.int8.targets import Target, target_of
from engine.onnx.graph_view import view_of
from engine.specs import TargetName
from engine.store.int8_report import Int8Build

Batches = Callable[[], Iterable[np.ndarray]]
Progress = Callable[[str, int], None]

VNNI = target_of(TargetName.X86_VNNI)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How ranges are taken. `images` gives the same batches at every call.

    What one call of `prepare` finds in them is `known` to the next.
    """

    images: Batches
    mode: str
    percentile: float
    threads: int
    progress: Progress
    count: int = 300
    known: Known = field(default_factory=Known)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A float graph ready to be written in int8, equal to its source to rounding."""

    model: ModelProto
    placing: Placing
    ranges: Ranges
    means: dict[str, np.ndarray]
    facts: Int8Build


def prepare(
    source: ModelProto,
    calibration: Calibration,
    kept: frozenset[str] = frozenset(),
    target: Target = VNNI,
) -> Prepared:
    """Rewrites a copy of `source`, equalizes its channels and takes ranges of what is stored.

    One pass over the images for `max`, a second for the modes that look at distributions; none for
    what an earlier call found. Raises BuildFailed naming the layer when a value is not finite, and
    when there is no image.
    """
    model = ModelProto()
    model.CopyFrom(source)
    _name_nodes(model)
    squeezes = squeeze_to_global_pool(model)
    split_hard_swish(model)
    observed = _observe(model, calibration)
    constant = _constant(model, observed)
    equalized = equalize(model, observed, kept)
    if target.fuses_only_in_integers:
        gates = hard_gates_to_convolutions(model, kept)
        placing = place(model, kept)
    else:
        gates = 0
        unscaling_as_products(model)
        placing = place_for_tensorrt(model, kept)
    stats = equalized.stats | _unseen(model, placing, equalized.stats, calibration)
    ranges = _extremes(placing, stats)
    if calibration.mode != "max":
        ranges = _distributed(model, placing, ranges, stats, calibration)
    facts = Int8Build(
        squeezes_rewritten=squeezes,
        gates_rewritten=gates,
        equalization=equalized.strengths,
        kept_in_float=placing.floating,
        constant=constant,
    )
    means = {name: stats.mean for name, stats in equalized.stats.items()}
    return Prepared(model, placing, ranges, means, facts)


def rounding_of(prepared: Prepared, target: Target) -> Rounding:
    """What `quantize` would round, for measuring what each rounding does."""
    grids = choose_grids(prepared.placing, prepared.ranges, target.activations)
    in_pairs = target.adds_pairs_in_16_bits
    return Rounding(prepared.model, prepared.placing, grids, prepared.means, in_pairs)


def quantize(prepared: Prepared, target: Target) -> tuple[ModelProto, Int8Build]:
    """(int8 model, what it is) for the target it was prepared for."""
    grids = choose_grids(prepared.placing, prepared.ranges, target.activations)
    model = write(prepared.model, prepared.placing, grids, target, prepared.means)
    arrange(model, prepared.placing.view, target)
    return model, prepared.facts.model_copy(
        update={
            "format": "QDQ",
            "target": target.facts(),
            "activations": str(target.activations),
            "weights": target.weights,
        }
    )


def _observe(model: ModelProto, calibration: Calibration) -> dict[str, ChannelStats]:
    view = view_of(model)
    names = wanted(model, view)
    known = calibration.known.stats(model, names, view)
    if known is None:
        known = _pass_over(model, names, calibration)
        calibration.known.keep_stats(model, known)
    return known


def _unseen(
    model: ModelProto, placing: Placing, stats: dict[str, ChannelStats], calibration: Calibration
) -> dict[str, ChannelStats]:
    """Of what is stored although nobody was expected to ask for it."""
    missing = [name for name in placing.stored if name not in stats]
    return _pass_over(model, missing, calibration) if missing else {}


def _pass_over(
    model: ModelProto, names: list[str], calibration: Calibration
) -> dict[str, ChannelStats]:
    return channel_stats(
        model,
        names,
        calibration.images(),
        calibration.threads,
        lambda seen: calibration.progress("Observing", seen),
    )


def _distributed(
    model: ModelProto,
    placing: Placing,
    extremes: Ranges,
    stats: dict[str, ChannelStats],
    calibration: Calibration,
) -> Ranges:
    """Ranges by the values between the extremes.

    Vectors keep their extremes: they have few values, and each counts for a whole feature map.
    """
    maps = [name for name in extremes if not placing.view.is_vector(name)]
    sided = [name for name in maps if all(placing.view.shapes[name][1:])]
    samples = gate_samples(sided, placing.view) if calibration.mode == "mse" else {}
    how = [calibration.mode, calibration.percentile]
    keys = {}
    for name in maps:
        sample = samples.get(name)
        line = () if sample is None else (sample.slopes, sample.offsets)
        keys[name] = range_key(name, how, stats[name], *line)
    known = calibration.known.ranges(keys)
    left = [name for name in maps if name not in known]
    if left:
        found = _counted(model, {name: extremes[name] for name in left}, samples, calibration)
        calibration.known.keep_ranges(keys, found)
        known |= found
    return extremes | known


def _counted(
    model: ModelProto,
    extremes: Ranges,
    samples: dict[str, GateSample],
    calibration: Calibration,
) -> Ranges:
    samples = {name: sample for name, sample in samples.items() if name in extremes}
    counted = histograms(
        model,
        extremes,
        calibration.images(),
        calibration.threads,
        lambda seen: calibration.progress("Counting values", seen),
        samples,
        calibration.count,
    )
    range_of = RANGE_OF[calibration.mode]
    ranges = {name: range_of(h, calibration.percentile) for name, h in counted.items()}
    return ranges | {name: sample.best_range(*extremes[name]) for name, sample in samples.items()}


def _extremes(placing: Placing, stats: dict[str, ChannelStats]) -> Ranges:
    """Of the stored tensors; a gate that was rewritten holds 0 to 1."""
    return {
        name: (float(stats[name].low.min()), float(stats[name].high.max()))
        for name in placing.stored
    }


def _constant(model: ModelProto, stats: dict[str, ChannelStats]) -> list[str]:
    """Layers behind which each channel holds one value on all images, by their weights."""
    makers = {node.output[0]: node for node in model.graph.node}
    found = {}
    for name, one in stats.items():
        if (one.low == one.high).all():
            tensor = name
            while tensor in makers and makers[tensor].op_type not in WEIGHTED:
                tensor = makers[tensor].input[0]
            made = makers.get(tensor)
            found[made.input[1].removesuffix(".weight") if made else tensor] = name
    return list(found)


def _name_nodes(model: ModelProto) -> None:
    """Rewrites speak of nodes by name; exporters may leave it out."""
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
