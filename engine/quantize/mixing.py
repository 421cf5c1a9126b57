"""How much stays in float: by default little, with a bound on the loss of accuracy what it takes.

Layers are ranked once, by what their rounding does to the scores. The default keeps those that cost
most, up to a tenth of the work of the convolutions. A bounded build goes on from there, a step of
float work at a time, until the paired interval on images it was not calibrated on keeps the bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto

from engine.quantize import recipe
from engine.quantize.effects import Effects, decibels, measure, scores_on
from engine.quantize.graph import GraphView
from engine.quantize.keeping import CLEAN_NOISE, Layer, choose, gain_of, layers_of
from engine.quantize.recipe import Calibration, Prepared
from engine.specs import FLOAT_SHARE
from engine.stats import PairedDifference, paired_difference

SHARES = (FLOAT_SHARE, 0.2, 0.35, 0.5, 0.7, 0.9)
EFFECTS_S = 180.0
EFFECT_IMAGES = 32
ONE_SIDED_95 = 0.90
"""Confidence of the two-sided interval whose lower end is a one-sided limit of 95 %."""

Say = Callable[[str], None]
Count = Callable[[int, int], None]
Right = Callable[[ModelProto], np.ndarray]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The layers of a model, and what rounding each does to the scores."""

    layers: list[Layer]
    effects: Effects
    view: GraphView

    def keep(self, share: float) -> frozenset[str]:
        """The layers to keep in float when they may do so much of the work."""
        gains = {x.output: gain_of(x, self.effects, self.view, share) for x in self.layers}
        return choose(self.layers, gains, share)

    def share(self, kept: frozenset[str]) -> float:
        """Of the work of all convolutions, what `kept` do."""
        total = sum(layer.macs for layer in self.layers)
        return sum(layer.macs for layer in self.layers if layer.output in kept) / max(total, 1)


@dataclass(frozen=True, slots=True)
class Bound:
    """`max_drop` in points of top-1 against fp32; `right` says of a model which images it gets.

    Without labels, right is what fp32 says. `reference` is fp32's own.
    """

    max_drop: float
    right: Right
    reference: np.ndarray
    limit_s: float


@dataclass(frozen=True, slots=True)
class Mixed:
    """The int8 model, what it was made from, and the facts of how it came to be."""

    model: ModelProto
    prepared: Prepared
    facts: dict[str, Any]
    ranking: Ranking | None
    kept: frozenset[str]


def rank(
    prepared: Prepared,
    images: np.ndarray,
    threads: int,
    isa: frozenset[str],
    count: Count,
    clean: float = CLEAN_NOISE,
) -> Ranking:
    """Measures on `images` (n, 3, h, w) what each rounding does; at most EFFECTS_S seconds."""
    rounding = recipe.rounding_of(prepared, isa)
    effects = measure(rounding, scores_on(images, threads), clean, EFFECTS_S, count)
    view = prepared.placing.view
    return Ranking(layers_of(prepared.model, view), effects, view)


def by_default(
    source: ModelProto,
    how: Calibration,
    isa: frozenset[str],
    forced: frozenset[str],
    share: float,
    images: np.ndarray | None,
    say: Say,
    count: Count,
) -> Mixed:
    """int8 with the layers in float that cost most; none where rounding hardly moves a score.

    `images` None: not ranked (random weights, whose scores mean nothing).
    """
    prepared = recipe.prepare(source, how, forced)
    if images is None or share <= 0:
        return _written(prepared, isa, None, forced)
    ranking = rank(prepared, images, how.threads, isa, count)
    say(
        f"Rounding everything leaves the scores {decibels(ranking.effects.whole):.1f} dB of signal."
    )
    if ranking.effects.whole <= CLEAN_NOISE:
        return _written(prepared, isa, ranking, forced)
    kept = forced | ranking.keep(share)
    say(f"{len(kept)} layers stay in float, {ranking.share(kept):.1%} of the convolutions' work.")
    return _written(recipe.prepare(source, how, kept), isa, ranking, kept)


def within(
    source: ModelProto,
    how: Calibration,
    isa: frozenset[str],
    forced: frozenset[str],
    share: float,
    images: np.ndarray,
    bound: Bound,
    say: Say,
    count: Count,
) -> Mixed:
    """The first step of float work whose paired interval keeps the bound.

    Where none does in the time, the one whose interval reaches least far, and `held` says so.
    """
    end = time.monotonic() + bound.limit_s
    mixed = by_default(source, how, isa, forced, share, images, say, count)
    ranking = mixed.ranking
    tried: list[tuple[Mixed, PairedDifference, float]] = []
    for step in (share, *(s for s in SHARES if s > share)):
        if tried and ranking is not None:
            if not ranking.effects.weights:
                say("The bound does not hold although rounding hardly shows: layers are ranked.")
                ranking = rank(mixed.prepared, images, how.threads, isa, count, clean=0.0)
            kept = forced | ranking.keep(step)
            if kept == tried[-1][0].kept:
                continue
            mixed = _written(recipe.prepare(source, how, kept), isa, ranking, kept)
        judged = paired_difference(bound.reference, bound.right(mixed.model), ONE_SIDED_95)
        tried.append((mixed, judged, step))
        say(
            f"{ranking.share(mixed.kept) if ranking else 0:.0%} of the work in float: top-1 drop "
            f"{-judged.difference * 100:.1f} points, at most {-judged.low * 100:.1f} (95 %)."
        )
        if -judged.low * 100 <= bound.max_drop or time.monotonic() > end:
            break
    best, judged, _ = min(tried, key=lambda one: -one[1].low)
    held = -judged.low * 100 <= bound.max_drop
    if not held:
        say(_not_held(bound, judged))
    facts = {
        "max_drop": bound.max_drop,
        "held": held,
        "images": judged.n,
        "drop": -judged.difference * 100,
        "drop_at_most": -judged.low * 100,
        "steps": [
            {
                "float_share": ranking.share(m.kept) if ranking else 0.0,
                "drop": -j.difference * 100,
                "drop_at_most": -j.low * 100,
            }
            for m, j, _ in tried
        ],
    }
    return Mixed(best.model, best.prepared, {**best.facts, "bound": facts}, ranking, best.kept)


def _not_held(bound: Bound, judged: PairedDifference) -> str:
    """Says that the bound is not shown, and whether more images could show it."""
    drop, changed = -judged.difference * 100, judged.only_a + judged.only_b
    text = f"The bound of {bound.max_drop:g} points is not shown to hold on {judged.n} images"
    room = (bound.max_drop - drop) / 100
    if room <= 0:
        return f"{text}: the drop itself is {drop:.1f} points."
    needed = (1.645**2) * (changed / judged.n) / room**2
    return f"{text}; with the same share of changed images it would take about {needed:,.0f}."


def _written(
    prepared: Prepared, isa: frozenset[str], ranking: Ranking | None, kept: frozenset[str]
) -> Mixed:
    model, facts = recipe.quantise(prepared, isa)
    if ranking is not None:
        facts |= {
            "noise_db_all_int8": decibels(ranking.effects.whole),
            "float_share": ranking.share(kept),
        }
    return Mixed(model, prepared, facts, ranking, kept)
