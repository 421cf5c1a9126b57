"""The job handlers: an evaluation, or one shard of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.build.int8.saturation import overflow_warning
from engine.common.environment import MachineFacts
from engine.common.stats import wilson_interval
from engine.errors import InvalidRequest, OtherOutputs
from engine.evaluation import groups, record, shards
from engine.evaluation.task import Task, prepare
from engine.jobs.context import JobContext
from engine.jobs.results import JobResult, PartialResult
from engine.specs import EvaluateSpec
from engine.store.protocols import EvaluationProtocol


def run_shard(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: one shard of a large evaluation."""
    spec = EvaluateSpec.model_validate(params)
    if spec.start is None or spec.stop is None:
        raise InvalidRequest("An evaluation shard needs a start and a stop.")
    task = prepare(spec, context.url)
    total, result = spec.stop - spec.start, {"start": spec.start, "stop": spec.stop}
    if record.find_complete(task.recipe, context.url) is not None:
        context.say("The evaluation is complete already.")
        return result
    try:
        require_same_kernels(task)
        if not shards.is_finished(task, (spec.start, spec.stop)):
            shards.compute(
                task,
                [(spec.start, spec.stop)],
                context,
                lambda n, _: context.progress(n, total, "images"),
                lambda: record.record_partial(task, context),
            )
    except OtherOutputs as error:
        # A machine of the group computes it, with what is missing at the end.
        context.say(str(error))
        return {**result, "notes": [str(error)]}
    return result


def require_same_kernels(task: Task) -> None:
    """Raises OtherOutputs where machines of another kernel class compute this evaluation now."""
    group = groups.current(task)
    reason = None if group is None else group.why_not(task)
    if reason is not None and not groups.is_abandoned(task):
        raise OtherOutputs(reason)


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: computes the missing shards, joins all, records the result."""
    task = _as_computed(prepare(EvaluateSpec.model_validate(params), context.url), context)
    previous = record.find_complete(task.recipe, context.url)
    if previous is not None:
        context.say("Reused result: the same artifact, images, preprocessing and environment.")
        return JobResult(evaluation=previous.id, reused=True).dump()
    overflow = overflow_warning(task.artifact)
    if overflow is not None:
        context.say(f"Warning: {overflow}.")
    try:
        _compute_missing(task, context)
    except OtherOutputs as error:
        context.say(f"All images are evaluated here. {error}")
        groups.leave(task)
        _compute_missing(task, context)
    row = record.record_complete(task, context)
    protocol = EvaluationProtocol.from_row(row)
    if protocol.overlap is not None and protocol.overlap.images:
        context.say(f"Overlap with the calibration set: {protocol.overlap.sentence()}.")
    if row.top1_count is None:
        context.say(
            f"{row.images:,} images without labels: `compare` shows the agreement of builds."
        )
        return JobResult(evaluation=row.id, reused=False, top1=None).dump()
    low, high = wilson_interval(row.top1_count, row.images)
    assumed = protocol.class_matching
    context.say(
        f"top-1 {row.top1_count / row.images:.2%} ({row.top1_count} of {row.images}), "
        f"95 % interval {low:.2%} to {high:.2%}.{f' {assumed}' if assumed else ''}"
    )
    top1 = row.top1_count / row.images
    return JobResult(evaluation=row.id, reused=False, top1=top1).dump()


def _as_computed(task: Task, context: JobContext) -> Task:
    """The task of the machines that have computed all shards, although this one could not join.

    Joining shards needs no kernels. Where shards are missing, the own task, and all is computed
    here.
    """
    group = groups.current(task)
    reason = None if group is None else group.why_not(task)
    if group is None or reason is None:
        return task
    theirs = replace(task, surroundings=MachineFacts(group.facts, 0.0), kernels=group.kernels)
    if not shards.missing_shards(theirs):
        return theirs
    if record.find_complete(task.recipe, context.url) is None:
        context.say(f"All images are evaluated here. {reason}")
        groups.leave(task)
        record.forget_partial(theirs.recipe, context.url)
    return task


def _compute_missing(task: Task, context: JobContext) -> None:
    missing = shards.missing_shards(task)
    done_before = len(task.images) - sum(stop - start for start, stop in missing)
    if done_before:
        context.say(f"Resumed: {done_before:,} images are already evaluated.")
    if missing:
        shards.compute(
            task,
            missing,
            context,
            _RunningAccuracy(context, done_before, len(task.images), task.index.labeled).report,
            lambda: record.record_partial(task, context),
        )


class _RunningAccuracy:
    """Reports progress with the running accuracy over the images of this attempt."""

    def __init__(self, context: JobContext, done_before: int, total: int, labeled: bool) -> None:
        self.context, self.done_before, self.total = context, done_before, total
        self.labeled = labeled

    def report(self, images: int, correct: int) -> None:
        """Reports `correct` top-1 answers on `images` images."""
        text = partial = None
        if self.labeled:
            low, high = wilson_interval(correct, images)
            text = f"top-1 so far {correct / images:.1%} ({low:.1%} to {high:.1%})"
            partial = PartialResult(images=images, correct=correct)
        self.context.progress(self.done_before + images, self.total, "images", text, partial)
