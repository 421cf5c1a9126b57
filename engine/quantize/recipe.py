"""The int8 recipe: rewrite, observe, equalise, choose ranges, write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto

from engine.quantize.channels import ChannelStats, channel_stats
from engine.quantize.effects import Rounding
from engine.quantize.equalise import equalise
from engine.quantize.gates import hard_gates_to_convolutions, split_hard_swish
from engine.quantize.graph import view_of
from engine.quantize.grids import choose_grids
from engine.quantize.histograms import histograms
from engine.quantize.modes import RANGE_OF, Ranges
from engine.quantize.placing import Placing, place
from engine.quantize.placing_tensorrt import place_for_tensorrt
from engine.quantize.products import unscaling_as_products
from engine.quantize.qdq import write
from engine.quantize.rewrite import squeeze_to_global_pool
from engine.quantize.swish import gate_samples
from engine.quantize.targets import Target, target_of
from engine.specs import TargetName

Batches = Callable[[], Iterable[np.ndarray]]
Progress = Callable[[str, int], None]

VNNI = target_of(TargetName.X86_VNNI)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How ranges are taken. `images` gives the same batches at every call."""

    images: Batches
    mode: str
    percentile: float
    threads: int
    progress: Progress
    count: int = 300


@dataclass(frozen=True, slots=True)
class Prepared:
    """A float graph ready to be written in int8, equal to its source to rounding."""

    model: ModelProto
    placing: Placing
    ranges: Ranges
    means: dict[str, np.ndarray]
    facts: dict[str, Any]


def prepare(
    source: ModelProto,
    calibration: Calibration,
    kept: frozenset[str] = frozenset(),
    target: Target = VNNI,
) -> Prepared:
    """Rewrites a copy of `source`, equalises its channels and takes ranges of what is stored.

    One pass over the images for `max`, a second for the modes that look at distributions. Raises
    BuildFailed naming the tensor when a value is not finite, and when there is no image.
    """
    model = ModelProto()
    model.CopyFrom(source)
    _name_nodes(model)
    squeezes = squeeze_to_global_pool(model)
    split_hard_swish(model)
    equalised = equalise(model, _observe(model, calibration), kept)
    if target.fuses_only_in_integers:
        gates = hard_gates_to_convolutions(model, kept)
        placing = place(model, kept)
    else:
        gates = 0
        unscaling_as_products(model)
        placing = place_for_tensorrt(model, kept)
    ranges = _extremes(placing, equalised.stats)
    if calibration.mode != "max":
        ranges = _distributed(model, placing, ranges, calibration)
    facts = {
        "squeezes_rewritten": squeezes,
        "gates_rewritten": gates,
        "equalisation": equalised.strengths,
        "kept_in_float": placing.floating,
    }
    means = {name: stats.mean for name, stats in equalised.stats.items()}
    return Prepared(model, placing, ranges, means, facts)


def rounding_of(prepared: Prepared, target: Target) -> Rounding:
    """What `quantise` would round, for measuring what each rounding does."""
    grids = choose_grids(prepared.placing, prepared.ranges, target.activations)
    most = target.largest_weight
    return Rounding(prepared.model, prepared.placing, grids, prepared.means, most)


def quantise(prepared: Prepared, target: Target) -> tuple[ModelProto, dict[str, Any]]:
    """(int8 model, what it is) for the target it was prepared for."""
    grids = choose_grids(prepared.placing, prepared.ranges, target.activations)
    model = write(prepared.model, prepared.placing, grids, target, prepared.means)
    return model, {
        "format": "QDQ",
        "target": target.to_dict(),
        "activations": str(target.activations),
        "weights": target.weights,
        **prepared.facts,
    }


def _observe(model: ModelProto, calibration: Calibration) -> dict[str, ChannelStats]:
    view = view_of(model)
    ranks = {name: len(shape) for name, shape in view.shapes.items() if len(shape) >= 2}
    return channel_stats(
        model,
        ranks,
        calibration.images(),
        calibration.threads,
        lambda seen: calibration.progress("Observing", seen),
    )


def _distributed(
    model: ModelProto, placing: Placing, extremes: Ranges, calibration: Calibration
) -> Ranges:
    """Ranges by the values between the extremes.

    Vectors keep their extremes: they have few values, and each counts for a whole feature map.
    """
    maps = {name: ends for name, ends in extremes.items() if not placing.view.is_vector(name)}
    samples = gate_samples(list(maps), placing.view) if calibration.mode == "mse" else {}
    counted = histograms(
        model,
        maps,
        calibration.images(),
        calibration.threads,
        lambda seen: calibration.progress("Counting values", seen),
        samples,
        calibration.count,
    )
    range_of = RANGE_OF[calibration.mode]
    ranges = {name: range_of(h, calibration.percentile) for name, h in counted.items()}
    return (
        extremes
        | ranges
        | {name: sample.best_range(*extremes[name]) for name, sample in samples.items()}
    )


def _extremes(placing: Placing, stats: dict[str, ChannelStats]) -> Ranges:
    """Of the stored tensors; a gate that was rewritten holds 0 to 1."""
    return {
        name: (float(stats[name].low.min()), float(stats[name].high.max()))
        for name in placing.stored
    }


def _name_nodes(model: ModelProto) -> None:
    """Rewrites speak of nodes by name; exporters may leave it out."""
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
