"""The job handlers: a whole evaluation, or one shard of it."""

from __future__ import annotations

from typing import Any

from engine.build.int8.saturation import overflow_warning
from engine.common.stats import wilson_interval
from engine.errors import InvalidRequest
from engine.evaluation import record, shards
from engine.evaluation.task import Task, prepare
from engine.jobs.context import JobContext
from engine.jobs.results import JobResult, PartialResult
from engine.specs import EvaluateSpec
from engine.store.protocols import EvaluationProtocol


def run_shard(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: one shard of a large evaluation."""
    spec = EvaluateSpec.model_validate(params)
    if spec.start is None or spec.stop is None:
        raise InvalidRequest("A shard has a start and a stop.")
    task = prepare(spec, context.url)
    total = spec.stop - spec.start
    if not task.shard_path(spec.start, spec.stop).exists():
        shards.compute(
            task,
            [(spec.start, spec.stop)],
            context,
            lambda n, _: context.progress(n, total, "images"),
            lambda: record.record_partial(task, context),
        )
    return {"start": spec.start, "stop": spec.stop}


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: computes the shards that are missing, joins them, records the result."""
    task = prepare(EvaluateSpec.model_validate(params), context.url)
    known = record.find_whole(task.recipe, context.url)
    if known is not None:
        context.say("Already measured: the same artifact, images, preprocessing and environment.")
        return JobResult(evaluation=known.id, reused=True).dump()
    overflow = overflow_warning(task.artifact)
    if overflow is not None:
        context.say(f"Beware: {overflow}.")
    _compute_missing(task, context)
    row = record.record_whole(task, context)
    protocol = EvaluationProtocol.of(row)
    if protocol.overlap is not None and protocol.overlap.images:
        context.say(f"Not all is new to this build: {protocol.overlap.sentence()}.")
    if row.top1_count is None:
        context.say(f"{row.images:,} images without labels: `compare` tells how far builds agree.")
        return JobResult(evaluation=row.id, reused=False, top1=None).dump()
    low, high = wilson_interval(row.top1_count, row.images)
    assumed = protocol.class_matching
    context.say(
        f"top-1 {row.top1_count / row.images:.2%} ({row.top1_count} of {row.images}), "
        f"95 % interval {low:.2%} to {high:.2%}.{f' {assumed}' if assumed else ''}"
    )
    top1 = row.top1_count / row.images
    return JobResult(evaluation=row.id, reused=False, top1=top1).dump()


def _compute_missing(task: Task, context: JobContext) -> None:
    missing = shards.missing_shards(task)
    before = len(task.images) - sum(stop - start for start, stop in missing)
    if before:
        context.say(f"{before:,} images were done before.")
    if missing:
        shards.compute(
            task,
            missing,
            context,
            _Tally(context, before, len(task.images), task.index.labeled).report,
            lambda: record.record_partial(task, context),
        )


class _Tally:
    """Running accuracy over the images that this attempt has seen."""

    def __init__(self, context: JobContext, before: int, total: int, labeled: bool) -> None:
        self.context, self.before, self.total = context, before, total
        self.labeled = labeled

    def report(self, images: int, right: int) -> None:
        """Progress so far."""
        text = found = None
        if self.labeled:
            low, high = wilson_interval(right, images)
            text = f"top-1 so far {right / images:.1%} ({low:.1%} to {high:.1%})"
            found = PartialResult(images=images, correct=right)
        self.context.progress(self.before + images, self.total, "images", text, found)
