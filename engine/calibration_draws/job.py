"""The job that builds an int8 model with several draws of calibration images, and scores each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from db.enums import Precision
from db.models import Artifact, Dataset
from engine.build.builders import Source, builder_of
from engine.calibration_draws.records import CalibrationDraws, store_draws
from engine.calibration_draws.requests import calibration_of, require_draws
from engine.common.digests import data_digest
from engine.common.scores import drop_background
from engine.config import settings
from engine.datasets.reader import DatasetIndex, open_index, read_batches
from engine.datasets.registration import find_dataset
from engine.datasets.sampling import sample_by_class
from engine.errors import DatasetInvalid, InvalidRequest
from engine.evaluation.task import match_classes
from engine.jobs.context import JobContext
from engine.runtimes.base import LoadOptions
from engine.runtimes.optimizer import optimized
from engine.runtimes.registry import load, why_not
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME, BuildSpec, DrawsSpec, ExportSpec
from engine.store import artifacts
from engine.store.manifest import ExportManifest

BATCH = 16
RUNTIMES = (DEFAULT_RUNTIME, "openvino")


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: builds and scores all draws, and stores the counts in place of earlier ones."""
    spec = DrawsSpec.model_validate(params)
    artifact = artifacts.find_by_digest(spec.artifact, context.url)
    dataset = find_dataset(spec.dataset, context.url)
    if dataset.digest != spec.dataset_digest:
        raise DatasetInvalid(
            f"Dataset {spec.dataset} was registered again after this job was queued: retry."
        )
    draws = measure(artifact, dataset, spec, context)
    store_draws(draws)
    for runtime in draws.correct:
        context.say(draws.sentence(runtime))
    return {"artifact": artifact.digest, "images": draws.images}


def measure(
    artifact: Artifact, dataset: Dataset, spec: DrawsSpec, context: JobContext
) -> CalibrationDraws:
    """Counts correct images for each draw, in every runtime that executes int8 here."""
    first = calibration_of(artifact, 0)
    pool = find_dataset(first.dataset, context.url)
    require_draws(artifact, pool)
    index = open_index(dataset)
    if not index.labeled:
        raise InvalidRequest(
            f"Dataset {dataset.name} has no labels, so it has no top-1: choose a labeled dataset."
        )
    export = artifacts.find_by_digest(str(artifact.parent_digest), context.url)
    manifest = ExportManifest.from_artifact(export)
    model = optimized(artifacts.model_path(export.digest), context.workspace)
    calibrated = open_index(pool)
    evaluated = _evaluated(index, spec.images)
    right = match_classes(artifact, index).outputs_of_labels(index.labels[evaluated])
    runtimes = [name for name in RUNTIMES if why_not(name, Precision.INT8) is None]
    used = np.zeros(0, int)
    correct: dict[str, list[int]] = {name: [] for name in runtimes}

    def count(path: Path, precision: str, runtime: str) -> int:
        options = LoadOptions(threads=settings().threads)
        found = 0
        with load(runtime, path, precision, CPU_PROVIDER, options) as session:
            preprocess = artifacts.preprocess_of(export)
            parts = read_batches(index, evaluated, preprocess, BATCH, settings().threads)
            for start, batch in zip(range(0, len(evaluated), BATCH), parts, strict=True):
                best = drop_background(session.run(batch), manifest.background).argmax(axis=1)
                found += int((best == right[start : start + BATCH]).sum())
        return found

    for seed in range(spec.draws):
        context.stage(f"Building draw {seed + 1} of {spec.draws}.")
        calibration = calibration_of(artifact, seed)
        used = np.union1d(used, sample_by_class(calibrated.labels, calibration.images, seed))
        build = BuildSpec(
            export=ExportSpec(model_id=export.model_id),
            precision=Precision.INT8,
            calibration=calibration,
        )
        folder = context.workspace / f"draw-{seed}"
        folder.mkdir()
        path = folder / artifacts.MODEL_FILE
        recipe = data_digest([artifact.digest, seed])
        builder_of(Precision.INT8).build(
            Source(export, manifest, model, build, recipe), path, context
        )
        for runtime in runtimes:
            context.stage(f"Evaluating draw {seed + 1} of {spec.draws} in {runtime}.")
            correct[runtime].append(count(path, Precision.INT8, runtime))
        path.unlink()
    fp32 = count(artifacts.model_path(export.digest), Precision.FP32, DEFAULT_RUNTIME)
    same = calibrated.digest == index.digest
    return CalibrationDraws(
        artifact=artifact.digest,
        model_id=artifact.model_id,
        dataset=dataset.name,
        images=len(evaluated),
        overlapping=int(np.isin(evaluated, used).sum()) if same else 0,
        calibration_images=first.images,
        calibration_pool=len(calibrated),
        seeds=list(range(spec.draws)),
        fp32=fp32,
        correct=correct,
    )


def _evaluated(index: DatasetIndex, images: int | None) -> np.ndarray:
    if images is None or images >= len(index):
        return np.arange(len(index))
    return sample_by_class(index.labels, images, 0)
