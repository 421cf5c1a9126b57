"""A database as after a year of use: 300 builds, 10,200 measurements, 4,000 finished jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert

from db.models import (
    Artifact,
    Benchmark,
    Dataset,
    Environment,
    Evaluation,
    Job,
    Model,
    Run,
    RunJob,
    Weights,
)
from db.session import writing
from engine.config import settings
from engine.preprocess import PreprocessSpec

MODELS = 100
PRECISIONS = {"fp32": (1.0, 0.0, 1.0), "fp16": (0.9, 0.0, 0.5), "int8": (2.1, -0.006, 0.27)}
DATASETS = ("val", "val-rotated", "val-dark", "val-small")
LIMITS = (1000, 2000, 5000, 10_000)
BATCHES = (1, 2, 4, 8, 16, 32)
THREADS = (1, 2, 4)
JOBS = 4_000
MACHINE = "e" * 64
START = 1_750_000_000.0


def fill(url: str) -> int:
    """Fills the migrated database `url`; returns the number of measurements."""
    random = np.random.default_rng(0)
    builds = list(_builds(random))
    evaluations = list(_evaluations(builds, random))
    benchmarks = list(_benchmarks(builds))
    with writing(url) as session:
        session.execute(insert(Environment), [_environment()])
        session.execute(insert(Model), [_model(place) for place in range(MODELS)])
        session.execute(insert(Weights), [_weights(place) for place in range(MODELS)])
        session.execute(insert(Artifact), builds)
        session.execute(insert(Dataset), [_dataset(name) for name in DATASETS])
        session.execute(insert(Job), list(_jobs()))
        session.execute(insert(Run), list(_runs()))
        session.execute(
            insert(RunJob), [{"run_id": n // 10 + 1, "job_id": n + 1} for n in range(JOBS)]
        )
        session.execute(insert(Evaluation), evaluations)
        session.execute(insert(Benchmark), benchmarks)
    return len(evaluations) + len(benchmarks)


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _environment() -> dict[str, Any]:
    facts = {"cpu": "A CPU", "cores": 4, "isa": ["avx2"], "packages": {"onnxruntime": "1.30.0"}}
    return {"digest": MACHINE, "label": "A CPU, 4 cores, onnxruntime 1.30.0", "facts": facts}


def _model(place: int) -> dict[str, Any]:
    name = f"seresnet{place:03d}"
    return {
        "id": f"timm/{name}", "source": "timm", "name": name, "architecture": name,
        "in_catalogue": False,
    }  # fmt: skip


def _weights(place: int) -> dict[str, Any]:
    return {
        "digest": _digest("weights", place), "model_id": f"timm/seresnet{place:03d}",
        "kind": "pretrained", "origin": "a benchmark", "size_bytes": 1,
    }  # fmt: skip


def _builds(random: np.random.Generator) -> Iterator[dict[str, Any]]:
    folder = settings().folder("artifacts")
    for place in range(MODELS):
        gmacs = float(10 ** random.uniform(-1, 1.3))
        for precision, (_, _, size) in PRECISIONS.items():
            digest = _digest("build", place, precision)
            (folder / digest).mkdir(exist_ok=True)
            yield {
                "digest": digest, "recipe": digest, "kind": "build",
                "model_id": f"timm/seresnet{place:03d}",
                "weights_digest": _digest("weights", place), "weights_kind": "pretrained",
                "format": "onnx", "precision": precision,
                "size_bytes": int(28e6 * gmacs * size) + 1,
                "manifest": {
                    "compute": {"gmacs": gmacs, "params_m": 7 * gmacs},
                    "build": {"execution": "native"}, "classes": 1000,
                    "preprocess": PreprocessSpec().to_dict(),
                },
                "created_at": START,
            }  # fmt: skip


def _evaluations(
    builds: list[dict[str, Any]], random: np.random.Generator
) -> Iterator[dict[str, Any]]:
    for build in builds:
        gmacs = build["manifest"]["compute"]["gmacs"]
        share = 0.70 + 0.06 * np.log10(10 * gmacs) + PRECISIONS[build["precision"]][1]
        for dataset in DATASETS:
            for images in LIMITS:
                path = ""
                right = int(share * images)
                if (dataset, images) == (DATASETS[0], LIMITS[0]):
                    path, right = _per_image(build["digest"], share, random)
                yield {
                    "recipe": _digest("evaluation", build["digest"], dataset, images),
                    "artifact_digest": build["digest"], "environment_digest": MACHINE,
                    "dataset_name": dataset, "dataset_digest": _digest(dataset),
                    "preprocess": PreprocessSpec().to_dict(), "images": images,
                    "images_in_dataset": LIMITS[-1], "top1_count": right,
                    "top5_count": int(0.95 * images), "at_chance": False,
                    "per_image_path": path, "protocol": {"batch": 16},
                    "created_at": START + len(path),
                }  # fmt: skip


def _per_image(digest: str, share: float, random: np.random.Generator) -> tuple[str, int]:
    count = LIMITS[0]
    rank = np.where(random.random(count) < share, 0, 3).astype(np.int32)
    top5 = np.tile(np.arange(5, dtype=np.int32), (count, 1))
    path = settings().folder("results") / f"images-{digest[:32]}.npz"
    np.savez(
        path, image=np.arange(count, dtype=np.int32), label=np.arange(count, dtype=np.int32) % 1000,
        top5=top5, top5_probability=np.full((count, 5), 0.2, np.float32), rank=rank,
    )  # fmt: skip
    return str(Path("results") / path.name), int((rank == 0).sum())


def _benchmarks(builds: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(1)
    for build in builds:
        speed = 300 / build["manifest"]["compute"]["gmacs"] * PRECISIONS[build["precision"]][0]
        for batch in BATCHES:
            for threads in THREADS:
                rate = speed * threads**0.8 * batch**0.2
                p50 = 1e3 * batch / rate
                yield {
                    "artifact_digest": build["digest"], "environment_digest": MACHINE,
                    "runtime": "onnxruntime 1.30.0", "provider": "CPUExecutionProvider",
                    "batch": batch, "threads": threads, "instances": 1, "images_per_s": rate,
                    "images_per_s_low": rate * 0.98, "images_per_s_high": rate * 1.02,
                    "latency_mean_ms": p50, "latency_p50_ms": p50, "latency_p90_ms": p50 * 1.1,
                    "latency_p95_ms": p50 * 1.2, "latency_p99_ms": p50 * 1.5, "samples": 300,
                    "load_ms": 5.0, "first_inference_ms": 9.0, "peak_rss_mb": 300.0,
                    "achieved_gmacs_per_s": None, "stable": True, "other_busy_cores": 0.0,
                    "latencies_path": "", "protocol": {**PROTOCOL, **_speed_up(build, random)},
                    "created_at": START,
                }  # fmt: skip


PROTOCOL = {"windows": 20, "window_s": 0.2}


def _speed_up(build: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """The ratio to fp32 of a lower precision, above and below 1."""
    if build["precision"] == "fp32":
        return {}
    ratio = float(random.uniform(0.7, 2.5))
    return {"speed_up": {"ratio": ratio, "low": 0.97 * ratio, "high": 1.03 * ratio, "rounds": 20}}


def _dataset(name: str) -> dict[str, Any]:
    return {
        "name": name, "root": f"/data/{name}", "layout": "folder per class",
        "digest": _digest(name), "num_images": LIMITS[-1], "num_classes": 1000,
        "report": {"corrupt": 0, "corrupt_files": [], "classes_present": 1000},
    }  # fmt: skip


def _jobs() -> Iterator[dict[str, Any]]:
    log = "\n".join(f"12:00:{line:02d} a line of a log" for line in range(60))
    for number in range(JOBS):
        failed = number % 50 == 0
        yield {
            "id": number + 1, "kind": "benchmark", "title": f"Benchmark model {number}, batch 1",
            "params": {}, "key": _digest("job", number), "timeout_s": 60.0, "attempt": 1,
            "status": "failed" if failed else "succeeded",
            "error": "It broke." if failed else None, "message": "1,000 images/s",
            "log_tail": log, "started_at": START + number, "ended_at": START + number + 5,
        }  # fmt: skip


def _runs() -> Iterator[dict[str, Any]]:
    for number in range(JOBS // 10):
        yield {"id": number + 1, "title": f"run {number}", "request": {"model_id": "timm/x"}}
