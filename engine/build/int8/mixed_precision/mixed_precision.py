"""How much stays in float by default: the layers that cost most, up to a tenth of the work.

Layers are ranked once, by what their rounding does to the scores. `bounded` goes on from here where
a bound on the loss of accuracy is set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from engine.build.int8 import pipeline
from engine.build.int8.mixed_precision.layer_selection import CLEAN_NOISE, Ranking, rank
from engine.build.int8.mixed_precision.sensitivity import decibels
from engine.build.int8.pipeline import Calibration, Prepared
from engine.build.int8.targets import Target
from engine.store.int8_report import Int8Build

EFFECT_IMAGES = 32

Say = Callable[[str], None]
Progress = Callable[[int, int, str, str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be built of `source` (float32), and on what its layers are ranked.

    `forced` stay in float whatever they cost; others may, up to `float_share` of the convolutions'
    work. `images` (n, 3, h, w); None: not ranked (random weights, whose scores mean nothing).
    `progress` takes (done, total, unit, message).
    """

    source: ModelProto
    how: Calibration
    target: Target
    forced: frozenset[str]
    float_share: float
    images: np.ndarray | None
    say: Say
    progress: Progress

    def prepare(self, kept: frozenset[str]) -> Prepared:
        """The source ready to be written in int8, with `kept` in float."""
        return pipeline.prepare(self.source, self.how, kept, self.target)

    def rank(self, prepared: Prepared, clean: float = CLEAN_NOISE) -> Ranking:
        """What each rounding of `prepared` does to the scores of the images."""
        assert self.images is not None

        def count(done: int, total: int) -> None:
            self.progress(done, total, "roundings", "Ranking layers")

        return rank(prepared, self.target, self.images, self.how.threads, count, clean)


@dataclass(frozen=True, slots=True)
class Mixed:
    """The int8 model, what it was made from, and the facts of how it came to be."""

    model: ModelProto
    prepared: Prepared
    target: Target
    facts: Int8Build
    ranking: Ranking | None
    kept: frozenset[str]


def by_default(request: Request) -> Mixed:
    """int8 with the layers in float that cost most; none where rounding hardly moves a score."""
    prepared = request.prepare(request.forced)
    if request.images is None or request.float_share <= 0:
        return written(request, prepared, None, request.forced)
    ranking = request.rank(prepared)
    kept = kept_by_default(request, ranking)
    if kept != request.forced:
        prepared = request.prepare(kept)
    return written(request, prepared, ranking, kept)


def kept_by_default(request: Request, ranking: Ranking) -> frozenset[str]:
    """What the default keeps in float, said in the log."""
    whole = ranking.effects.whole
    request.say(f"Rounding everything leaves the scores {decibels(whole):.1f} dB of signal.")
    if whole <= CLEAN_NOISE:
        return request.forced
    kept = request.forced | ranking.keep(request.float_share)
    share = ranking.share(kept)
    request.say(f"{len(kept)} layers stay in float, {share:.1%} of the convolutions' work.")
    return kept


def written(
    request: Request, prepared: Prepared, ranking: Ranking | None, kept: frozenset[str]
) -> Mixed:
    """The int8 model of a prepared one."""
    model, facts = pipeline.quantize(prepared, request.target)
    if ranking is not None:
        facts = facts.model_copy(
            update={
                "noise_db_all_int8": decibels(ranking.effects.whole),
                "float_share": ranking.share(kept),
            }
        )
    return Mixed(model, prepared, request.target, facts, ranking, kept)
