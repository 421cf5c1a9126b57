"""Accuracy-constrained build: moves layers to float, step by step, until the constraint is met.

The default build is evaluated first. Then more layers stay in float, those first that remove the
most noise per added millisecond (`exclusion_order.py`), until the paired interval on images outside
the calibration set meets the constraint. Where too few images are left to prove it, the drop
estimated from score margins decides (`expected_drop.py`). Where times cannot be measured, because
the build is for another machine, MACs stand for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from onnx import ModelProto

from engine.build.int8.accuracy_control.bound import (
    AccuracyConstraint,
    fp32_message,
    not_met_message,
    time_left_message,
    time_message,
    too_few_images_message,
)
from engine.build.int8.accuracy_control.checkpoint import EvaluatedCandidate, SearchCheckpoint
from engine.build.int8.accuracy_control.expected_drop import estimate_drop
from engine.build.int8.merged_groups.choice import merge_grouped_convolutions
from engine.build.int8.mixed_precision.exclusion_order import (
    Exclusion,
    ExclusionPrices,
    order_exclusions,
)
from engine.build.int8.mixed_precision.layer_selection import NEGLIGIBLE_NOISE, SensitivityAnalysis
from engine.build.int8.mixed_precision.mixed_precision import (
    HostTimer,
    MixedPrecisionBuild,
    MixedPrecisionRequest,
    select_default_layers,
    write_int8,
)
from engine.build.int8.pipeline import PreparedModel
from engine.common.stats import paired_difference
from engine.specs import FLOAT_SHARE
from engine.store.int8_report import BoundFacts, SearchStep

FLOAT_SHARES = (FLOAT_SHARE, 0.2, 0.35, 0.5, 0.7, 0.9)
ONE_SIDED_95 = 0.90
"""Confidence of the two-sided interval whose lower end is a one-sided 95 % limit."""


def search_float_layers(
    request: MixedPrecisionRequest,
    constraint: AccuracyConstraint,
    checkpoint: SearchCheckpoint | None = None,
) -> MixedPrecisionBuild:
    """The candidate with the least work in float whose paired interval meets the constraint.

    Where none does within the time limit, it is the first that is expected to meet it, else the one
    with the least expected drop, of those faster than fp32 where there are any; `held` in the facts
    is then False. Steps in the checkpoint are not evaluated again.
    """
    search = _Search(request, constraint, checkpoint or SearchCheckpoint())
    if (warning := too_few_images_message(constraint)) is not None:
        request.log(warning)
    if (expected := search.time_message()) is not None:
        request.log(expected)
    for share in search.shares():
        float_layers = search.layers_at(share)
        if search.steps and float_layers == search.steps[-1].float_layers:
            continue
        if not search.has_time():
            request.log(
                f"Search stopped: another step does not fit in {constraint.search_limit_s:.0f} s."
            )
            break
        search.add_step(search.resume(float_layers) or search.evaluate(float_layers))
        last = search.steps[-1]
        if constraint.is_met(last) or (
            constraint.is_expected_to_be_met(last) and not constraint.is_provable()
        ):
            break
    return search.result()


@dataclass(slots=True)
class _Search:
    request: MixedPrecisionRequest
    constraint: AccuracyConstraint
    checkpoint: SearchCheckpoint
    steps: list[EvaluatedCandidate] = field(default_factory=list)
    resumed_steps: int = 0
    analysis: SensitivityAnalysis | None = None
    path: list[Exclusion] | None = None
    prepared: PreparedModel | None = None
    last_build: MixedPrecisionBuild | None = None
    started: float = field(default_factory=time.monotonic)

    def shares(self) -> Iterator[float]:
        """Shares of MACs in float, ascending, from that of the default."""
        min_share = self.request.float_share
        yield min_share
        yield from (share for share in FLOAT_SHARES if share > min_share)

    def time_message(self) -> str | None:
        """The time that the search is expected to take; None where it is unknown."""
        if self.request.analysis_images is None:
            return None
        nodes = sum(len(node.output) for node in self.request.source.graph.node)
        inferences = nodes * len(self.request.analysis_images)
        return time_message(self.constraint, len(list(self.shares())), inferences)

    def layers_at(self, share: float) -> frozenset[str]:
        request = self.request
        if share <= 0:
            return request.required_float
        analysis = self._get_analysis()
        if not self.steps:
            return select_default_layers(request, analysis)
        if not analysis.sensitivity.layers:
            request.log(
                "The constraint is not met although the noise is negligible: analyzing sensitivity."
            )
        if not analysis.sensitivity.tensors:
            analysis = self._analyze(negligible_noise=0.0, with_tensors=True)
        if request.timer is None:
            return request.required_float | analysis.select(share)
        return request.required_float | analysis.select_by_time(
            self._get_path(analysis, request.timer), share
        )

    def _get_path(self, analysis: SensitivityAnalysis, timer: HostTimer) -> list[Exclusion]:
        """The order of exclusions; the times of layers are measured once."""
        if self.path is None:
            names = [layer.output for layer in analysis.layers]
            if self.checkpoint.times is None:
                threads = self.request.calibration.threads
                self.checkpoint.times = timer.layers(names, analysis.view, threads)
                self._save()
            model, required = self._prepare_full_int8().model, self.request.required_float
            prices = ExclusionPrices(
                model, analysis.view, required, analysis.sensitivity, self.checkpoint.times
            )
            self.path = order_exclusions(prices, names)
        return self.path

    def _get_analysis(self) -> SensitivityAnalysis:
        if self.analysis is None and self.checkpoint.sensitivity is not None:
            self.analysis = SensitivityAnalysis.from_sensitivity(
                self._prepare_full_int8(), self.checkpoint.sensitivity
            )
        return self.analysis or self._analyze()

    def _analyze(
        self, negligible_noise: float = NEGLIGIBLE_NOISE, with_tensors: bool = False
    ) -> SensitivityAnalysis:
        self.analysis = self.request.analyze_sensitivity(
            self._prepare_full_int8(), negligible_noise, with_tensors
        )
        self.checkpoint.sensitivity = self.analysis.sensitivity
        self._save()
        return self.analysis

    def _prepare_full_int8(self) -> PreparedModel:
        if self.prepared is None:
            self.prepared = self.request.prepare(self.request.required_float)
        return self.prepared

    def resume(self, float_layers: frozenset[str]) -> EvaluatedCandidate | None:
        """The step of an earlier attempt with the same layers in float, if any."""
        step = next(
            (step for step in self.checkpoint.steps if step.float_layers == float_layers), None
        )
        self.resumed_steps += step is not None
        return step

    def evaluate(self, float_layers: frozenset[str]) -> EvaluatedCandidate:
        """Builds a candidate and compares it with fp32."""
        started = time.monotonic()
        self.last_build = self._build(float_layers)
        reference, candidate = (
            self.constraint.reference_margins,
            self.constraint.compute_margins(self.last_build.model, self._progress()),
        )
        paired = paired_difference(reference > 0, candidate > 0, ONE_SIDED_95)
        expected = estimate_drop(reference, candidate)
        step = EvaluatedCandidate(
            self._share(float_layers),
            float_layers,
            paired,
            expected,
            time.monotonic() - started,
            self._relative_speed(self.last_build),
        )
        self.checkpoint.steps = (*self.checkpoint.steps, step)
        self._save()
        return step

    def _relative_speed(self, build: MixedPrecisionBuild) -> float | None:
        """Speed over that of fp32, with groups merged as in the file; None where not measured."""
        request, images = self.request, self.request.analysis_images
        if request.timer is None or images is None:
            return None
        model = ModelProto()
        model.CopyFrom(build.model)
        view = build.prepared.placement.view
        merge_grouped_convolutions(model, view, build.target, lambda text: None)
        return request.timer.speed(request.source, model, images, request.calibration.threads)

    def _progress(self) -> Callable[[int, int], None]:
        """Progress over all remaining steps, so that the time left is an upper limit."""
        number, max_steps = len(self.steps) + 1, len(list(self.shares()))
        steps_left = max_steps - number + 1
        message = f"Evaluating step {number} of at most {max_steps}"
        if self.steps:
            best = self._nearest()
            message += f"; best so far: drop {best.drop_pp:.2f} pp"

        def report(done: int, total: int) -> None:
            self.request.progress(done, total * steps_left, "images", message)

        return report

    def _build(self, float_layers: frozenset[str]) -> MixedPrecisionBuild:
        is_full_int8 = float_layers == self.request.required_float
        prepared = self._prepare_full_int8() if is_full_int8 else self.request.prepare(float_layers)
        return write_int8(self.request, prepared, self.analysis, float_layers)

    def add_step(self, step: EvaluatedCandidate) -> None:
        self.steps.append(step)
        self.request.log(
            f"{step.float_share:.0%} of MACs in float: drop of {self.constraint.metric} "
            f"{step.drop_pp:.2f} pp, at most {step.drop_upper_limit_pp:.2f} (95 %); estimated "
            f"from score margins {step.expected.drop_pp:.2f}, "
            f"at most {step.expected.upper_limit_pp:.2f}{_speed_text(step)}."
        )
        steps_left = len(list(self.shares())) - len(self.steps)
        if len(self.steps) == 1 and steps_left and not self.constraint.is_met(step):
            self.request.log(time_left_message(self.constraint, step, steps_left, self._spent_s()))
        best = self._nearest()
        if best is not step:
            self.request.log(
                f"Best so far: {best.float_share:.0%} of MACs in float, drop {best.drop_pp:.2f} pp."
            )

    def _nearest(self) -> EvaluatedCandidate:
        """The step whose estimated drop has the lowest upper limit."""
        return min(self.steps, key=lambda step: step.expected.upper_limit_pp)

    def has_time(self) -> bool:
        """Whether another step as long as the longest fits in the limit; the first always does."""
        longest = max((step.duration_s for step in self.steps), default=0.0)
        return not self.steps or self._spent_s() + longest <= self.constraint.search_limit_s

    def _spent_s(self) -> float:
        return self.checkpoint.spent_s + time.monotonic() - self.started

    def _save(self) -> None:
        self.checkpoint.spent_s, self.started = self._spent_s(), time.monotonic()
        self.checkpoint.save()

    def _share(self, float_layers: frozenset[str]) -> float:
        return self.analysis.macs_share(float_layers) if self.analysis else 0.0

    def result(self) -> MixedPrecisionBuild:
        """The build of the last step if it meets the constraint, else of the best estimate."""
        result, is_met = self.steps[-1], self.constraint.is_met(self.steps[-1])
        if not is_met:
            result = self._choose_unproven()
            self.request.log(not_met_message(self.constraint, result))
        if (choice := fp32_message(self.constraint, result)) is not None:
            self.request.log(choice)
        build = self.last_build
        if build is None or build.float_layers != result.float_layers:
            build = self._build(result.float_layers)
        facts = build.facts.model_copy(update={"bound": self._facts(result, is_met)})
        return MixedPrecisionBuild(
            build.model,
            build.prepared,
            build.target,
            facts,
            self.analysis,
            build.float_layers,
            self.checkpoint.times,
        )

    def _choose_unproven(self) -> EvaluatedCandidate:
        """The first expected to meet it, else the nearest; those faster than fp32 come first."""
        faster = [step for step in self.steps if step.is_faster_than_fp32 is not False]
        candidates = faster or self.steps
        expected = [step for step in candidates if self.constraint.is_expected_to_be_met(step)]
        nearest = min(candidates, key=lambda step: step.expected.upper_limit_pp)
        return expected[0] if expected else nearest

    def _facts(self, result: EvaluatedCandidate, is_met: bool) -> BoundFacts:
        return BoundFacts(
            max_drop=self.constraint.max_drop_pp,
            measure=self.constraint.metric,
            held=is_met,
            images=result.paired.n,
            steps=[
                SearchStep(float_share=step.float_share, **_step_figures(step))
                for step in self.steps
            ],
            seconds=round(self._spent_s(), 1),
            steps_of_earlier_attempts=self.resumed_steps,
            **_step_figures(result),
        )


def _speed_text(step: EvaluatedCandidate) -> str:
    if step.relative_speed is None:
        return ""
    return f"; about {step.relative_speed:.2f} times as fast as fp32"


def _step_figures(step: EvaluatedCandidate) -> dict[str, float | None]:
    return {
        "relative_speed": step.relative_speed,
        "drop": step.drop_pp,
        "drop_at_most": step.drop_upper_limit_pp,
        "expected_drop": step.expected.drop_pp,
        "expected_at_most": step.expected.upper_limit_pp,
    }
