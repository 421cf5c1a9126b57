"""A bounded build: layers go back to float, a step of work at a time, until the bound is shown.

The default is judged first; then more stays in float, the layers that cost most before the others,
until the paired interval on images it was not calibrated on keeps the bound.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto

from engine.quantize.journal import Journal, Step
from engine.quantize.mixing import Mixed, Request, kept_by_default, written
from engine.quantize.ranking import Ranking
from engine.quantize.recipe import Prepared
from engine.specs import FLOAT_SHARE
from engine.stats import PairedDifference, paired_difference

SHARES = (FLOAT_SHARE, 0.2, 0.35, 0.5, 0.7, 0.9)
ONE_SIDED_95 = 0.90
"""Confidence of the two-sided interval whose lower end is a one-sided limit of 95 %."""
Z_ONE_SIDED_95 = 1.645
TOP1, AGREEMENT = "top-1", "agreement with fp32"

Right = Callable[[ModelProto, Callable[[int, int], None]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Bound:
    """`max_drop` in points of `measure` against fp32, within `limit_s` of search.

    `right` says of a model which images it gets, and reports (done, total) images on the way;
    `reference` is fp32's own. Without labels, right is what fp32 says.
    """

    max_drop: float
    right: Right
    reference: np.ndarray
    limit_s: float
    measure: str = TOP1

    def holds(self, step: Step) -> bool:
        """Whether the far end of the interval keeps the bound."""
        return step.drop_at_most <= self.max_drop


def within(request: Request, bound: Bound, journal: Journal | None = None) -> Mixed:
    """The first step of float work whose paired interval keeps the bound.

    Where none does in the time, the one whose interval reaches least far, and `held` says so. What
    the journal holds is not judged again.
    """
    search = _Search(request, bound, journal or Journal())
    _say_what_can_be_shown(request, bound)
    for share in search.shares():
        kept = search.kept_at(share)
        if search.steps and kept == search.steps[-1].kept:
            continue
        if not search.has_time():
            request.say(f"The search ends: another step does not fit its {bound.limit_s:.0f} s.")
            break
        search.take(search.known(kept) or search.judge(kept))
        last = search.steps[-1]
        if bound.holds(last) or not last.changed:
            break
    return search.best()


@dataclass(slots=True)
class _Search:
    request: Request
    bound: Bound
    journal: Journal
    steps: list[Step] = field(default_factory=list)
    resumed: int = 0
    ranking: Ranking | None = None
    prepared: Prepared | None = None
    built: Mixed | None = None
    began: float = field(default_factory=time.monotonic)

    def shares(self) -> Iterator[float]:
        """What the default keeps first, then ever more."""
        least = self.request.float_share
        yield least
        yield from (share for share in SHARES if share > least)

    def kept_at(self, share: float) -> frozenset[str]:
        request = self.request
        if share <= 0:
            return request.forced
        ranking = self._ranking()
        if not self.steps:
            return kept_by_default(request, ranking)
        if not ranking.effects.weights:
            request.say(
                "The bound does not hold although rounding hardly shows: layers are ranked."
            )
            ranking = self._ranked(clean=0.0)
        return request.forced | ranking.keep(share)

    def _ranking(self) -> Ranking:
        if self.ranking is None and self.journal.effects is not None:
            self.ranking = Ranking.of(self._all_int8(), self.journal.effects)
        return self.ranking or self._ranked()

    def _ranked(self, **clean: float) -> Ranking:
        self.ranking = self.request.rank(self._all_int8(), **clean)
        self.journal.effects = self.ranking.effects
        self._save()
        return self.ranking

    def _all_int8(self) -> Prepared:
        if self.prepared is None:
            self.prepared = self.request.prepare(self.request.forced)
        return self.prepared

    def known(self, kept: frozenset[str]) -> Step | None:
        """How an earlier attempt judged this candidate."""
        step = next((step for step in self.journal.steps if step.kept == kept), None)
        self.resumed += step is not None
        return step

    def judge(self, kept: frozenset[str]) -> Step:
        """Builds a candidate and holds it against fp32."""
        began = time.monotonic()
        self.built = self._build(kept)
        found = self.bound.right(self.built.model, self._progress())
        judged = paired_difference(self.bound.reference, found, ONE_SIDED_95)
        step = Step(self._share(kept), kept, judged, time.monotonic() - began)
        self.journal.steps = (*self.journal.steps, step)
        self._save()
        return step

    def _progress(self) -> Callable[[int, int], None]:
        """Progress over all steps that may be left, so that the time left is the longest."""
        number, most = len(self.steps) + 1, len(list(self.shares()))
        left = most - number + 1
        message = f"Judging step {number} of at most {most}"

        def report(done: int, total: int) -> None:
            self.request.progress(done, total * left, "images", message)

        return report

    def _build(self, kept: frozenset[str]) -> Mixed:
        plain = kept == self.request.forced
        prepared = self._all_int8() if plain else self.request.prepare(kept)
        return written(self.request, prepared, self.ranking, kept)

    def take(self, step: Step) -> None:
        self.steps.append(step)
        self.request.say(
            f"{step.float_share:.0%} of the work in float: drop of {self.bound.measure} "
            f"{step.drop:.2f} points, at most {step.drop_at_most:.2f} (95 %)."
        )

    def has_time(self) -> bool:
        """Whether a step as long as the longest so far still fits; the first always does."""
        longest = max((step.seconds for step in self.steps), default=0.0)
        return not self.steps or self._spent() + longest <= self.bound.limit_s

    def _spent(self) -> float:
        return self.journal.spent_s + time.monotonic() - self.began

    def _save(self) -> None:
        self.journal.spent_s, self.began = self._spent(), time.monotonic()
        self.journal.save()

    def _share(self, kept: frozenset[str]) -> float:
        return self.ranking.share(kept) if self.ranking else 0.0

    def best(self) -> Mixed:
        """The last step where it keeps the bound, else the one that comes nearest."""
        best = min(self.steps, key=lambda step: step.drop_at_most)
        held = self.bound.holds(best)
        if not held:
            self.request.say(_not_held(self.bound, best.judged))
        built = self.built
        if built is None or built.kept != best.kept:
            built = self._build(best.kept)
        facts = {**built.facts, "bound": self._facts(best, held)}
        return Mixed(built.model, built.prepared, built.target, facts, self.ranking, built.kept)

    def _facts(self, best: Step, held: bool) -> dict[str, Any]:
        return {
            "max_drop": self.bound.max_drop,
            "measure": self.bound.measure,
            "held": held,
            "images": best.judged.n,
            "drop": best.drop,
            "drop_at_most": best.drop_at_most,
            "steps": [
                {
                    "float_share": step.float_share,
                    "drop": step.drop,
                    "drop_at_most": step.drop_at_most,
                }
                for step in self.steps
            ],
            "seconds": round(self._spent(), 1),
            "steps_of_earlier_attempts": self.resumed,
        }


def _least_shown(images: int) -> float:
    """The drop in points that so many images cannot rule out although none of them changes."""
    return 100 * Z_ONE_SIDED_95**2 / (images + Z_ONE_SIDED_95**2)


def _images_for(max_drop: float) -> int:
    """How many images show a drop of at most `max_drop` points where none of them changes."""
    return math.ceil(Z_ONE_SIDED_95**2 * (100 / max_drop - 1)) if max_drop > 0 else 0


def _say_what_can_be_shown(request: Request, bound: Bound) -> None:
    images = len(bound.reference)
    if _least_shown(images) <= bound.max_drop:
        return
    ways = f"it takes {_images_for(bound.max_drop):,}: calibrate on fewer, or on a larger set"
    request.say(
        f"Only {images} images are left to judge the drop on: they cannot show less than "
        f"{_least_shown(images):.1f} points even if none changes"
        + (f"; {ways}." if bound.max_drop > 0 else ".")
    )


def _not_held(bound: Bound, judged: PairedDifference) -> str:
    """Says that the bound is not shown, and whether more images could show it."""
    drop, changed = -judged.difference * 100, judged.only_a + judged.only_b
    text = f"The bound of {bound.max_drop:g} points is not shown to hold on {judged.n} images"
    room = (bound.max_drop - drop) / 100
    if room <= 0:
        return f"{text}: the drop itself is {drop:.1f} points."
    needed = (Z_ONE_SIDED_95**2) * (changed / judged.n) / room**2
    needed = max(needed, _images_for(bound.max_drop))
    return f"{text}; with the same share of changed images it would take about {needed:,.0f}."
