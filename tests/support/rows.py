"""Synthetic rows: a model with builds, evaluations and benchmarks whose figures are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from db.enums import JobKind, JobStatus
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
from db.session import reading, writing
from engine.config import settings
from engine.preprocess import PreprocessSpec

MACHINE = "e" * 64
IMAGES = 1000


def add_measured_model(
    url: str,
    name: str = "seresnet50",
    *,
    right: dict[str, int] | None = None,
    weights_kind: str = "pretrained",
    collapsed: tuple[str, ...] = (),
    dataset: str = "val",
    classes: int = 1000,
    noise: list[str] | None = None,
) -> None:
    """Three builds of `timm/<name>`; `right` is how many of IMAGES each precision gets right."""
    right = right or {"fp32": 803, "fp16": 802, "int8": 793}
    model_id = f"timm/{name}"
    with writing(url) as session:
        session.merge(Model(id=model_id, source="timm", name=name, architecture=name))
        session.merge(Environment(digest=MACHINE, label="A CPU, 2 cores", facts=_facts()))
        session.flush()
        weights = _digest(f"w{name}{weights_kind}")
        session.merge(
            Weights(
                digest=weights, model_id=model_id, kind=weights_kind, origin="a test", size_bytes=1
            )
        )
        session.flush()
        for place, (precision, count) in enumerate(right.items()):
            artifact = _artifact(model_id, weights, weights_kind, precision, 100.0 / 2**place)
            session.merge(artifact)
            session.flush()
            if weights_kind != "random":
                evaluation = _evaluation(artifact, count, dataset, precision in collapsed)
                session.add(evaluation)
            session.add(_benchmark(artifact, 10.0 * (place + 1), noise))
    with reading(url) as session:
        known = session.scalar(select(Dataset.id).where(Dataset.name == dataset))
    if known is None:
        add_dataset(url, dataset, classes)


def add_dataset(url: str, name: str, classes: int = 1000, **report: Any) -> None:
    """A registered dataset of IMAGES images."""
    with writing(url) as session:
        session.add(
            Dataset(
                name=name,
                root=f"/data/{name}",
                layout="folder per class",
                digest=_digest(name),
                num_images=IMAGES,
                num_classes=classes,
                report={"corrupt": 0, "corrupt_files": [], "classes_present": classes, **report},
            )
        )


def add_job(url: str, status: JobStatus, title: str = "Build x fp32", **values: Any) -> int:
    """A job in some state, owned by a run of its own."""
    defaults = {
        "kind": JobKind.BUILD,
        "params": {},
        "key": _digest(title),
        "timeout_s": 60.0,
        "attempt": 1,
    }
    with writing(url) as session:
        job = Job(title=title, status=status, **{**defaults, **values})
        run = Run(title=f"run of {title}", request={"model_id": "timm/x", "precisions": ["fp32"]})
        session.add_all([job, run])
        session.flush()
        session.add(RunJob(run_id=run.id, job_id=job.id))
        return job.id


def _facts() -> dict[str, Any]:
    return {"cpu": "A CPU", "cores": 2, "packages": {"onnxruntime": "1.32.0"}, "isa": ["avx2"]}


def _digest(text: str) -> str:
    return text.encode().hex().ljust(64, "0")[:64]


def _artifact(
    model_id: str, weights: str, weights_kind: str, precision: str, size_mb: float
) -> Artifact:
    digest = _digest(f"{precision}{model_id}{weights_kind}")
    (settings().folder("artifacts") / digest).mkdir(exist_ok=True)
    build = {"execution": "emulated on CPU: correct"} if precision == "fp16" else {}
    return Artifact(
        digest=digest,
        recipe=digest,
        kind="build",
        model_id=model_id,
        weights_digest=weights,
        weights_kind=weights_kind,
        format="onnx",
        precision=precision,
        size_bytes=int(size_mb * 1e6),
        manifest={
            "compute": {"gmacs": 4.1, "params_m": 28.1},
            "build": build,
            "classes": 1000,
            "preprocess": PreprocessSpec().to_dict(),
        },
    )


def _evaluation(artifact: Artifact, right: int, dataset: str, collapsed: bool) -> Evaluation:
    ranks = np.where(np.arange(IMAGES) < right, 0, 7)
    path = settings().folder("results") / f"images-{artifact.digest}.npz"
    labels = np.arange(IMAGES) % 10
    best = np.where(ranks == 0, labels, (labels + 1) % 10)
    np.savez(
        path,
        image=np.arange(IMAGES, dtype=np.int32),
        label=labels.astype(np.int32),
        top5=np.stack([(best + step) % 10 for step in range(5)], axis=1).astype(np.int32),
        top5_probability=np.tile(np.float32([0.6, 0.2, 0.1, 0.06, 0.04]), (IMAGES, 1)),
        rank=ranks,
    )
    return Evaluation(
        recipe=artifact.digest,
        artifact_digest=artifact.digest,
        environment_digest=MACHINE,
        dataset_name=dataset,
        dataset_digest=_digest(dataset),
        preprocess=PreprocessSpec().to_dict(),
        images=IMAGES,
        images_in_dataset=IMAGES,
        top1_count=right,
        top5_count=right,
        at_chance=collapsed,
        per_image_path=str(Path("results") / path.name),
        protocol={"batch": 16, "provider": "CPUExecutionProvider"},
    )


def _benchmark(artifact: Artifact, rate: float, noise: list[str] | None) -> Benchmark:
    return Benchmark(
        artifact_digest=artifact.digest,
        environment_digest=MACHINE,
        runtime="onnxruntime 1.32.0",
        provider="CPUExecutionProvider",
        batch=1,
        threads=2,
        instances=1,
        images_per_s=rate,
        images_per_s_low=rate * 0.98,
        images_per_s_high=rate * 1.02,
        latency_mean_ms=1e3 / rate,
        latency_p50_ms=1e3 / rate,
        latency_p90_ms=1e3 / rate,
        latency_p95_ms=1e3 / rate,
        latency_p99_ms=None,
        samples=50,
        load_ms=5.0,
        first_inference_ms=9.0,
        peak_rss_mb=300.0,
        achieved_gmacs_per_s=4.1 * rate,
        stable=True,
        other_busy_cores=0.0,
        latencies_path="",
        protocol={"windows": 3, "window_s": 1.0, "warm_up_s": 1.0}
        | ({"noise": noise} if noise else {}),
    )
