"""A bounded build: layers go back to float, a step of work at a time, until the bound is shown.

The default is judged first; then more stays in float, the layers that cost most before the others,
until the paired interval on images it was not calibrated on keeps the bound. Where too few images
are left for that, how far their scores move says which step to take (`margins.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from engine.build.int8.accuracy_control.bound import Bound, not_held, too_few
from engine.build.int8.accuracy_control.checkpoint import Journal, Step
from engine.build.int8.accuracy_control.expected_drop import expected_drop
from engine.build.int8.mixed_precision.layer_selection import Ranking
from engine.build.int8.mixed_precision.mixed_precision import (
    Mixed,
    Request,
    kept_by_default,
    written,
)
from engine.build.int8.pipeline import Prepared
from engine.common.stats import paired_difference
from engine.specs import FLOAT_SHARE
from engine.store.int8_report import ConstraintFacts, SearchStep

SHARES = (FLOAT_SHARE, 0.2, 0.35, 0.5, 0.7, 0.9)
ONE_SIDED_95 = 0.90
"""Confidence of the two-sided interval whose lower end is a one-sided limit of 95 %."""


def within(request: Request, bound: Bound, journal: Journal | None = None) -> Mixed:
    """The first step of float work whose paired interval keeps the bound.

    Where none does in the time, the first that is expected to keep it by the margins of its scores,
    else the one that is expected to lose least; `held` says so. What the journal holds is not
    judged again.
    """
    search = _Search(request, bound, journal or Journal())
    if (warning := too_few(bound)) is not None:
        request.say(warning)
    for share in search.shares():
        kept = search.kept_at(share)
        if search.steps and kept == search.steps[-1].kept:
            continue
        if not search.has_time():
            request.say(f"The search ends: another step does not fit its {bound.limit_s:.0f} s.")
            break
        search.take(search.known(kept) or search.judge(kept))
        last = search.steps[-1]
        if bound.holds(last) or (bound.is_expected(last) and not bound.can_be_shown()):
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
        before, after = self.bound.reference, self.bound.margins(self.built.model, self._progress())
        judged = paired_difference(before > 0, after > 0, ONE_SIDED_95)
        expected = expected_drop(before, after)
        step = Step(self._share(kept), kept, judged, expected, time.monotonic() - began)
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
            f"{step.drop:.2f} points, at most {step.drop_at_most:.2f} (95 %); "
            f"{step.expected.points:.2f}, at most {step.expected.at_most:.2f}, by the margins of "
            f"its scores."
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
        """The last step where it keeps the bound, else the one that is expected to."""
        best, held = self.steps[-1], self.bound.holds(self.steps[-1])
        if not held:
            expected = [step for step in self.steps if self.bound.is_expected(step)]
            nearest = min(self.steps, key=lambda step: step.expected.at_most)
            best = expected[0] if expected else nearest
            self.request.say(not_held(self.bound, best))
        built = self.built
        if built is None or built.kept != best.kept:
            built = self._build(best.kept)
        facts = built.facts.model_copy(update={"bound": self._facts(best, held)})
        return Mixed(built.model, built.prepared, built.target, facts, self.ranking, built.kept)

    def _facts(self, best: Step, held: bool) -> ConstraintFacts:
        return ConstraintFacts(
            max_drop=self.bound.max_drop,
            measure=self.bound.measure,
            held=held,
            images=best.judged.n,
            steps=[
                SearchStep(float_share=step.float_share, **_figures(step)) for step in self.steps
            ],
            seconds=round(self._spent(), 1),
            steps_of_earlier_attempts=self.resumed,
            **_figures(best),
        )


def _figures(step: Step) -> dict[str, float]:
    return {
        "drop": step.drop,
        "drop_at_most": step.drop_at_most,
        "expected_drop": step.expected.points,
        "expected_at_most": step.expected.at_most,
    }
