"""The table of results: one row for each build, benchmark and evaluation that belong together.

A build's newest evaluation on each (dataset, labels, preprocessing, subset) stands beside its
newest benchmark at each (batch, threads, instances, processes, provider, machine, scenario). What
was not measured is missing, never zero. Results of other machines stand in the same table under the
digest of their imported build; `origin` says where they come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
from sqlalchemy import Text, cast, func, select

from db.enums import ArtifactKind, Precision
from db.session import connect
from db.tables import Artifact, Benchmark, Environment, Evaluation, ImportedBuild, Model
from engine.accuracy.seen_images import SEEN_BEFORE
from engine.benchmark.noise import NOISY_CORES
from engine.benchmark.placement import nodes_elsewhere
from engine.benchmark.scenarios import label_of, verdict_of
from engine.catalog import find_model
from engine.conventions import convention_of
from engine.half.execution import NATIVE
from engine.peak.shares import with_shares
from engine.preprocess import PreprocessSpec
from engine.specs import CPU_PROVIDER
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
    "scenario": "scenario",
    "verdict": "verdict",
    "stable": "stable",
    "noise": "noisy because",
    "elsewhere": "nodes on another provider",
    "other_busy_cores": "cores busy with other work",
    "samples": "requests",
    "load_ms": "load (ms)",
    "first_inference_ms": "first inference (ms)",
    "peak_rss_mb": "peak memory (MB)",
    "achieved_gmacs_per_s": "GMAC/s",
    "peak_share": "share of the peak (%)",
    "peak_gmacs_per_s": "peak (GMAC/s)",
    "compute_gmacs": "GMACs",
    "params_m": "parameters (M)",
    "size_mb": "size (MB)",
    "origin": "origin",
    "weights_kind": "weights",
    "execution": "execution",
    "target": "int8 target",
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
    "scenario",
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


def results_of(
    url: str, artifacts: Iterable[str], evaluations: Iterable[int], benchmarks: Iterable[int]
) -> pd.DataFrame:
    """The rows of some measurements; of some artifacts where none of those was measured.

    Measurements that newer ones have taken the place of are among them.
    """
    builds = _all_builds(url)
    evaluated = _with_accuracy(_read(url, _evaluations()))
    benchmarked = with_shares(_with_protocol(_read(url, _benchmarks())), builds, url)
    evaluated = evaluated[evaluated["evaluation_id"].isin(list(evaluations))]
    benchmarked = benchmarked[benchmarked["benchmark_id"].isin(list(benchmarks))]
    digests = {*artifacts, *evaluated["artifact_digest"], *benchmarked["artifact_digest"]}
    own = builds[builds["artifact_digest"].isin(digests)]
    return join_results(ResultTables(own, evaluated, benchmarked))


def result_tables(url: str) -> ResultTables:
    """Every build, the newest evaluation and the newest benchmark of each kind."""
    builds = _all_builds(url)
    benchmarks = with_shares(_with_protocol(_read(url, _benchmarks())), builds, url)
    return ResultTables(
        builds,
        _newest(_with_accuracy(_read(url, _evaluations())), _EVALUATION_KEY),
        _newest(benchmarks, _BENCHMARK_KEY),
    )


def _all_builds(url: str) -> pd.DataFrame:
    """Those made here, and those that were imported."""
    made = [_made_here(_read(url, _builds())), _read(url, _imported())]
    columns = list(dict.fromkeys(name for builds in made for name in builds.columns))
    some = [builds for builds in made if len(builds)]
    joined = pd.concat(some, ignore_index=True) if some else pd.DataFrame()
    return joined.reindex(columns=columns)


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
    frame["execution"] = _executed(frame)
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
        Benchmark.protocol["scenario"].label("scenario"),
        Benchmark.protocol["noise"].label("noise"),
        Benchmark.protocol["nodes"].label("elsewhere"),
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


def _with_protocol(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds to the figures what the protocol says: processes, scenario, verdict, noise, nodes."""
    # Before there was a choice there was one process.
    frame["processes"] = frame["processes"].fillna(1).astype(int)
    told = [found if isinstance(found, dict) else None for found in frame["scenario"]]
    frame["scenario"] = [label_of(found) for found in told]
    frame["verdict"] = [verdict_of(found) for found in told]
    busy = frame["other_busy_cores"]
    frame["noise"] = [_noise(*pair) for pair in zip(frame["noise"], busy, strict=True)]
    pairs = zip(frame["elsewhere"], frame["provider"], strict=True)
    frame["elsewhere"] = [nodes_elsewhere(*pair) for pair in pairs]
    return frame


def _noise(reasons: Any, other_busy_cores: float) -> str | None:
    """Why a benchmark is noisy; before reasons were kept, the work of others alone said it."""
    if isinstance(reasons, list):
        return "; ".join(reasons) or None
    busy = other_busy_cores > NOISY_CORES  # of a missing figure: no
    return f"other processes used {other_busy_cores:.2f} cores" if busy else None


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
    builds["target"] = [_target(m["build"]) for m in manifests]
    builds["calibration"] = [_calibration(m["build"].get("calibration")) for m in manifests]
    return builds


def _executed(frame: pd.DataFrame) -> pd.Series:
    """As the build found it on its CPU; accelerators compute in half precision natively."""
    elsewhere = frame["provider"].notna() & (frame["provider"] != CPU_PROVIDER)
    half = frame["precision"] == Precision.FP16
    return frame["execution"].where(~(elsewhere & half), NATIVE)


def _target(build: dict[str, Any]) -> str | None:
    """What an int8 build is made for; missing for those made before there was a choice."""
    target = (build.get("quantisation") or {}).get("target")
    return target["summary"] if target else None


def _calibration(made: dict[str, object] | None) -> str | None:
    return f"{made['mode']}, {made['images']} images of {made['dataset']}" if made else None
