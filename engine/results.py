"""The table of results: one row for each build, benchmark and evaluation that belong together.

A build's newest evaluation on each (dataset, labels, preprocessing, subset) stands beside its
newest benchmark at each (batch, threads, instances, processes, provider, machine). What was not
measured is missing, never zero. Results of other machines stand in the same table under the digest
of their imported build; `origin` says where they come from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
from sqlalchemy import Text, cast, func, select

from db.enums import ArtifactKind
from db.session import connect
from db.tables import Artifact, Benchmark, Environment, Evaluation, ImportedBuild, Model
from engine.accuracy.seen_images import SEEN_BEFORE
from engine.catalog import find_model
from engine.conventions import convention_of
from engine.preprocess import PreprocessSpec
from engine.stats import wilson_interval

COLUMNS = {
    "model_id": "model",
    "precision": "precision",
    "top1": "top-1 (%)",
    "top1_low": "top-1 low (%)",
    "top1_high": "top-1 high (%)",
    "top5": "top-5 (%)",
    "top1_count": "top-1 count",
    "top5_count": "top-5 count",
    "images": "images",
    "images_planned": "images planned",
    "images_in_dataset": "images in the dataset",
    "dataset": "dataset",
    "label_set": "labels",
    "images_per_s": "images/s",
    "images_per_s_low": "images/s low",
    "images_per_s_high": "images/s high",
    "latency_mean_ms": "mean (ms)",
    "latency_p50_ms": "p50 (ms)",
    "latency_p90_ms": "p90 (ms)",
    "latency_p95_ms": "p95 (ms)",
    "latency_p99_ms": "p99 (ms)",
    "batch": "batch",
    "threads": "threads",
    "instances": "instances",
    "processes": "processes",
    "provider": "provider",
    "runtime": "runtime",
    "stable": "stable",
    "other_busy_cores": "cores busy with other work",
    "samples": "requests",
    "load_ms": "load (ms)",
    "first_inference_ms": "first inference (ms)",
    "peak_rss_mb": "peak memory (MB)",
    "achieved_gmacs_per_s": "GMAC/s",
    "compute_gmacs": "GMACs",
    "params_m": "parameters (M)",
    "size_mb": "size (MB)",
    "origin": "origin",
    "weights_kind": "weights",
    "execution": "execution",
    "calibration": "calibration",
    "at_chance": "at chance",
    "seen_images": "images calibrated on",
    "preprocess": "preprocessing",
    "environment": "machine",
    "weights_digest": "weights SHA-256",
    "artifact_digest": "artifact",
    "dataset_digest": "dataset digest",
    "environment_digest": "machine digest",
    "evaluation_id": "evaluation",
    "benchmark_id": "benchmark",
    "measured_at": "measured (UTC)",
}
NOISY_CORES = 0.25  # work of others beyond which a speed is not trusted
MEASURED_HERE = "measured here"
_EVALUATION_KEY = ["artifact_digest", "dataset_digest", "label_set", "preprocess", "images"]
_BENCHMARK_KEY = [
    "artifact_digest",
    "environment_digest",
    "provider",
    "batch",
    "threads",
    "instances",
    "processes",
]


@dataclass(frozen=True, slots=True)
class ResultTables:
    """What was built and measured, before it is joined: one row a build, evaluation, benchmark."""

    builds: pd.DataFrame
    evaluations: pd.DataFrame
    benchmarks: pd.DataFrame


def results_frame(url: str) -> pd.DataFrame:
    """One row a result, columns as in COLUMNS; accuracies in percent, times in ms, sizes in MB."""
    return join_results(result_tables(url))


def result_tables(url: str) -> ResultTables:
    """Every build, the newest evaluation and the newest benchmark of each kind."""
    made = [_made_here(_read(url, _builds())), _read(url, _imported())]
    columns = list(dict.fromkeys(name for builds in made for name in builds.columns))
    some = [builds for builds in made if len(builds)]
    joined = pd.concat(some, ignore_index=True) if some else pd.DataFrame()
    return ResultTables(
        joined.reindex(columns=columns),
        _newest(_with_accuracy(_read(url, _evaluations())), _EVALUATION_KEY),
        _newest(_with_processes(_read(url, _benchmarks())), _BENCHMARK_KEY),
    )


def join_results(tables: ResultTables) -> pd.DataFrame:
    """Each build's evaluations beside its benchmarks, the newest first; columns as in COLUMNS.

    The rows are a product: keep only the evaluations and benchmarks in question before.
    """
    builds = tables.builds
    if builds.empty:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    measured = tables.evaluations.merge(
        tables.benchmarks, on="artifact_digest", how="outer", suffixes=("", "_benchmark")
    )
    frame = builds.merge(measured, on="artifact_digest", how="left")
    frame["environment"] = frame["environment_benchmark"].fillna(frame["environment"])
    frame["environment_digest"] = frame["environment_digest_benchmark"].fillna(
        frame["environment_digest"]
    )
    newest = frame[["evaluated_at", "benchmarked_at"]].max(axis=1).fillna(frame["built_at"])
    frame["measured_at"] = pd.to_datetime(newest, unit="s", utc=True)
    frame = frame.sort_values("measured_at", ascending=False, kind="stable")
    return frame.reindex(columns=list(COLUMNS)).reset_index(drop=True)


def published_frame(url: str) -> pd.DataFrame:
    """The catalogue's published figures; `compute_gmacs` is ours, missing until an export.

    Columns: model_id, source, name, top1, top5 (%), published_flops_g, published_params_m,
    compute_gmacs, params_m, convention (how the published FLOPs and parameters were counted).
    """
    statement = select(
        Model.id.label("model_id"),
        Model.source,
        Model.name,
        Model.published_top1.label("top1"),
        Model.published_top5.label("top5"),
        Model.published_flops_g,
        Model.published_params_m,
        Model.compute_gmacs,
        Model.params_m,
    ).where(Model.in_catalogue)
    frame = _read(url, statement)
    conventions = [convention_of(find_model(model_id)) for model_id in frame["model_id"]]
    frame["convention"] = [c.label if c else None for c in conventions]
    return frame


def _read(url: str, statement: object) -> pd.DataFrame:
    with connect(url).execution_options(readonly=True).connect() as connection:
        return pd.read_sql(statement, connection)


def _builds() -> object:
    return select(
        Artifact.digest.label("artifact_digest"),
        Artifact.model_id,
        Artifact.precision,
        Artifact.weights_kind,
        Artifact.weights_digest,
        (Artifact.size_bytes / 1e6).label("size_mb"),
        Artifact.created_at.label("built_at"),
        Artifact.manifest,
    ).where(Artifact.kind == ArtifactKind.BUILD)


def _imported() -> object:
    return select(
        ImportedBuild.digest.label("artifact_digest"),
        ImportedBuild.model_id,
        ImportedBuild.precision,
        ("imported: " + ImportedBuild.source).label("origin"),
        ImportedBuild.created_at.label("built_at"),
        Model.compute_gmacs,
        Model.params_m,
    ).join(Model, Model.id == ImportedBuild.model_id)


def _evaluations() -> object:
    return select(
        Evaluation.id.label("evaluation_id"),
        func.coalesce(Evaluation.artifact_digest, Evaluation.imported_digest).label(
            "artifact_digest"
        ),
        Evaluation.dataset_name.label("dataset"),
        Evaluation.dataset_digest,
        Evaluation.label_set,
        cast(Evaluation.preprocess, Text).label("preprocess"),
        Evaluation.images,
        func.coalesce(Evaluation.images_planned, Evaluation.images).label("images_planned"),
        Evaluation.images_in_dataset,
        Evaluation.top1_count,
        Evaluation.top5_count,
        Evaluation.at_chance,
        Evaluation.protocol[(SEEN_BEFORE, "images")].label("seen_images"),
        Evaluation.created_at.label("evaluated_at"),
        Evaluation.environment_digest,
        Environment.label.label("environment"),
    ).outerjoin(Environment, Environment.digest == Evaluation.environment_digest)


def _benchmarks() -> object:
    figures = [
        column
        for column in Benchmark.__table__.columns
        if column.name in COLUMNS and column.name != "artifact_digest"
    ]
    return select(
        Benchmark.protocol["processes"].label("processes"),
        Benchmark.id.label("benchmark_id"),
        Benchmark.created_at.label("benchmarked_at"),
        func.coalesce(Benchmark.artifact_digest, Benchmark.imported_digest).label(
            "artifact_digest"
        ),
        Environment.label.label("environment"),
        *figures,
    ).join(Environment, Environment.digest == Benchmark.environment_digest)


def _newest(frame: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    order = next(c for c in ("evaluated_at", "benchmarked_at") if c in frame.columns)
    return frame.sort_values(order, kind="stable").drop_duplicates(key, keep="last")


def _with_processes(frame: pd.DataFrame) -> pd.DataFrame:
    # Before there was a choice there was one process.
    frame["processes"] = frame["processes"].fillna(1).astype(int)
    return frame


def _with_accuracy(frame: pd.DataFrame) -> pd.DataFrame:
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
    return PreprocessSpec.from_dict(plain).summary() if plain else "not stated"


def _wilson(count: float, images: int) -> tuple[float, float]:
    unlabelled = count != count
    return (float("nan"),) * 2 if unlabelled else wilson_interval(int(count), images)


def _made_here(builds: pd.DataFrame) -> pd.DataFrame:
    builds["origin"] = MEASURED_HERE
    manifests = builds.pop("manifest")
    builds["compute_gmacs"] = [m["compute"]["gmacs"] for m in manifests]
    builds["params_m"] = [m["compute"]["params_m"] for m in manifests]
    builds["execution"] = [m["build"].get("execution", "native") for m in manifests]
    builds["calibration"] = [_calibration(m["build"].get("calibration")) for m in manifests]
    return builds


def _calibration(made: dict[str, object] | None) -> str | None:
    return f"{made['mode']}, {made['images']} images of {made['dataset']}" if made else None
