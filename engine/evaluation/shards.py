"""Computes evaluation shards, one file each, and joins them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from engine.build.int8.saturation import overflow_warning
from engine.build.lookup import compiled_models, file_for
from engine.common.files import write_text
from engine.common.scores import drop_background
from engine.config import settings
from engine.datasets.pixel_cache import open_cache
from engine.errors import InvalidRequest, StoreDamaged
from engine.evaluation import groups
from engine.evaluation.groups import Group
from engine.evaluation.per_image import PerImage, read_per_image, save_per_image
from engine.evaluation.pipeline import Pipeline, in_flight, threads_each
from engine.evaluation.scoring import score_matched
from engine.evaluation.task import Task
from engine.jobs.context import JobContext
from engine.runtimes import registry
from engine.runtimes.base import LoadOptions
from engine.store.objects import shared_store
from engine.store.shared import fetch, newest_versions, publish
from engine.store.shared import report as report_to_log

Shard = tuple[int, int]
ReportProgress = Callable[[int, int], None]


def missing_shards(task: Task) -> list[Shard]:
    """The shards that are not computed yet."""
    finished = set(finished_shards(task))
    return [pair for pair in task.shards() if pair not in finished]


def is_finished(task: Task, shard: Shard) -> bool:
    """Whether a machine of the group of this one has computed a shard; it is not fetched."""
    return shard in _computed(task)


def finished_shards(task: Task) -> list[Shard]:
    """The computed shards, fetched from the store where they are absent.

    One that is damaged in the store is reported, and counts as not computed.
    """
    group = groups.current(task)
    if group is not None:
        groups.keep_only(task, group)
    return [pair for pair in _computed(task) if _arrives(task, pair, group)]


def _computed(task: Task) -> list[Shard]:
    pairs = task.shards()
    if shared_store() is None:
        return [pair for pair in pairs if task.shard_path(*pair).exists()]
    group = groups.current(task)
    if group is None or group.why_not(task) is not None:
        return []
    stored = newest_versions(group.folder(task))
    return [pair for pair in pairs if task.shard_path(*pair).name in stored]


def _arrives(task: Task, pair: Shard, group: Group | None) -> bool:
    path = task.shard_path(*pair)
    try:
        return fetch(path, _stored_name(task, path, group))
    except StoreDamaged as error:
        report_to_log(str(error))
        return False


def _stored_name(task: Task, path: Path, group: Group | None) -> str:
    return f"{group.folder(task)}/{path.name}" if group is not None else path.name


def compute(
    task: Task,
    shards: list[Shard],
    context: JobContext,
    report: ReportProgress,
    finished: Callable[[], None],
) -> None:
    """Computes shards in one pass.

    `report` gets the numbers of images and of top-1 correct images so far; `finished` is called
    after each shard. Raises OtherOutputs where other machines have computed shards of this
    evaluation and this one gives other outputs.
    """
    threads = settings().threads
    all_images = np.concatenate([task.images[start:stop] for start, stop in shards])
    cache = open_cache(
        task.index.name,
        task.index.digest,
        len(task.index),
        all_images,
        task.preprocess,
        context.say,
    )
    size = task.spec.batch
    pipeline = Pipeline(task.index, task.preprocess, cache, threads, size, all_images)
    batches = [all_images[start : start + size] for start in range(0, len(all_images), size)]
    try:
        context.stage(f"Loading {task.artifact.model_id} {task.artifact.precision}.")
        path = file_for(task.spec.runtime, task.artifact, context.url)
        exact = overflow_warning(task.artifact) is not None
        model = registry.load(
            task.spec.runtime,
            path,
            task.artifact.precision,
            task.spec.provider,
            LoadOptions(
                threads_each(threads),
                exact_sums=exact,
                cache=compiled_models(),
                callers=in_flight(threads),
            ),
        )
        group = groups.join(task, groups.probe_digest(task, model.run), context.say)
        write_text(task.placement_path, json.dumps(model.placement))
        publish(task.placement_path, _stored_name(task, task.placement_path, group))
        context.stage(f"Evaluating on {len(task.images):,} images of {task.index.name}.")
        results = pipeline.run(
            batches, model.run, lambda out, images: score_batch(task, out, images)
        )
        done = correct = 0
        for start, stop in shards:
            parts: list[PerImage] = []
            while sum(map(len, parts)) < stop - start:
                part = next(results)
                assert isinstance(part, PerImage)
                parts.append(part)
                done, correct = done + len(part), correct + int(part.correct.sum())
                report(done, correct)
            _write(task, (start, stop), parts)
            path = task.shard_path(start, stop)
            publish(path, _stored_name(task, path, group))
            finished()
    finally:
        pipeline.close()
        if cache is not None:
            cache.close()
    if pipeline.cache_is_full:
        context.say("The disk is full: not all decoded images are cached.")


def _write(task: Task, shard: Shard, parts: list[PerImage]) -> None:
    path = task.shard_path(*shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_per_image(path, concatenate(parts))


def score_batch(task: Task, outputs: np.ndarray, images: np.ndarray) -> PerImage:
    """Per-image results of one batch, in dataset classes."""
    return score_matched(
        drop_background(outputs, task.manifest.background),
        images,
        task.index.labels[images],
        task.matching,
        probabilities=task.manifest.gives_probabilities,
    )


def join(task: Task, shards: list[Shard] | None = None) -> PerImage:
    """All shards (or the given ones) in order.

    Raises InvalidRequest unless they cover each image exactly once.
    """
    chosen = task.shards() if shards is None else shards
    images = concatenate([read_per_image(task.shard_path(*pair)) for pair in chosen])
    expected = np.concatenate([task.images[start:stop] for start, stop in chosen])
    if not np.array_equal(images.image, expected):
        raise InvalidRequest("The shards of this evaluation do not cover its images exactly once.")
    return images


def concatenate(parts: list[PerImage]) -> PerImage:
    """Several consecutive parts as one."""
    joined: dict[str, Any] = {}
    for field in fields(PerImage):
        columns = [getattr(part, field.name) for part in parts]
        joined[field.name] = None if columns[0] is None else np.concatenate(columns)
    return PerImage(**joined)
