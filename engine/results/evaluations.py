"""Evaluations as a table: top-1 and top-5 accuracy with Wilson intervals."""

from __future__ import annotations

import json
from functools import lru_cache

import pandas as pd
from sqlalchemy import Select, Text, cast, func, select

from db.models import Environment, Evaluation, Host, Job
from engine.benchmark.placement import placement_text
from engine.common.stats import wilson_interval
from engine.evaluation.comparability import NOT_STATED
from engine.preprocess import PreprocessSpec
from engine.results.reading import host_of_job, newest_rows, read_frame, with_ran_in
from engine.specs.comparability import SAME_EVALUATION


def all_evaluations(url: str) -> pd.DataFrame:
    """One row per evaluation; accuracies in percent."""
    return _with_accuracy(read_frame(url, _evaluations()))


def newest_evaluations(url: str) -> pd.DataFrame:
    """The newest evaluation of each build, image set, preprocessing and runtime."""
    frame = with_ran_in(all_evaluations(url))
    return newest_rows(frame, (*SAME_EVALUATION, "ran_in"), "evaluated_at")


def _evaluations() -> Select:
    return (
        select(
            Evaluation.id.label("evaluation_id"),
            func.coalesce(Evaluation.artifact_digest, Evaluation.imported_digest).label(
                "artifact_digest"
            ),
            Evaluation.dataset_name.label("dataset"),
            Evaluation.dataset_digest,
            Evaluation.label_set,
            cast(Evaluation.preprocess, Text).label("preprocess"),
            Evaluation.images,
            func.coalesce(Evaluation.images_digest, "").label("images_digest"),
            Evaluation.protocol["nodes"].label("placement"),
            Evaluation.protocol["runtime"].as_string().label("runtime"),
            Evaluation.protocol["preprocessing"].as_string().label("preparation"),
            func.coalesce(Evaluation.images_planned, Evaluation.images).label("images_planned"),
            Evaluation.images_in_dataset,
            Evaluation.top1_count,
            Evaluation.top5_count,
            Evaluation.at_chance,
            Evaluation.protocol[("seen_before", "images")].label("seen_images"),
            Evaluation.created_at.label("evaluated_at"),
            Evaluation.environment_digest,
            Environment.label.label("environment"),
            host_of_job(),
        )
        .outerjoin(Environment, Environment.digest == Evaluation.environment_digest)
        .outerjoin(Job, Job.id == Evaluation.job_id)
        .outerjoin(Host, Host.identity == Job.home)
    )


def _with_accuracy(frame: pd.DataFrame) -> pd.DataFrame:
    frame["placement"] = [placement_text(nodes) for nodes in frame["placement"]]
    frame["preprocess"] = [_summary(text) for text in frame["preprocess"]]
    counts = frame[["top1_count", "top5_count"]].astype(float)
    pairs = list(zip(counts["top1_count"], frame["images"], strict=True))
    intervals = [_wilson(count, int(images)) for count, images in pairs]
    frame["top1"] = 100 * counts["top1_count"] / frame["images"]
    frame["top5"] = 100 * counts["top5_count"] / frame["images"]
    frame["top1_low"] = [100 * low for low, _ in intervals]
    frame["top1_high"] = [100 * high for _, high in intervals]
    return frame


@lru_cache(maxsize=1024)
def _summary(preprocess: str | None) -> str:
    plain = json.loads(preprocess) if preprocess else None
    return PreprocessSpec.from_dict(plain).summary() if plain else NOT_STATED


def _wilson(count: float, images: int) -> tuple[float, float]:
    without_labels = count != count
    return (float("nan"),) * 2 if without_labels else wilson_interval(int(count), images)
