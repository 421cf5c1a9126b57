"""An engineer's day: three networks in two runtimes, six imported evaluations, published rows.

`python -m tests.support.day HOME` writes it to an empty data folder, for pictures.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from db.models import Artifact, Benchmark, Evaluation, ImportedBuild
from db.session import reading, writing
from tests.support import rows

OPENVINO = "openvino 2026.4.1"


@dataclass(frozen=True)
class Network:
    """Figures of one network: GMACs, fp32 images/s, right of 1,000 by precision."""

    gmacs: float
    rate: float
    right: dict[str, int]


NETWORKS = {
    "seresnet50": Network(4.13, 42.0, {"fp32": 803, "fp16": 803, "int8": 801}),
    "seresnext50_32x4d": Network(4.28, 30.0, {"fp32": 812, "fp16": 812, "int8": 806}),
    "seresnet152d": Network(24.1, 7.5, {"fp32": 843, "fp16": 843, "int8": 838}),
}
SPEED_UP = {"fp32": 1.0, "fp16": 0.4, "int8": 2.9}
SIZE = {"fp32": 4.0, "fp16": 2.0, "int8": 1.02}
IMPORTED = {"legacy_senet154": 813, "legacy_seresnet18": 717, "legacy_seresnet50": 776}


def fill(url: str, disturbed: str = "seresnet152d") -> None:
    """Writes the rows; the speeds of `disturbed` (a name of NETWORKS) were not quiet."""
    for name, network in NETWORKS.items():
        noise = ["other processes used 1.60 cores"] if name == disturbed else None
        rows.add_measured_model(url, name, right=network.right, noise=noise)
        _correct(url, name, network)
    _import(url)


def _correct(url: str, name: str, network: Network) -> None:
    """The figures of a network, and the same builds in OpenVINO."""
    with writing(url) as session:
        builds = session.scalars(select(Artifact).where(Artifact.model_id == f"timm/{name}")).all()
        for build in builds:
            precision = str(build.precision)
            compute = {"gmacs": network.gmacs, "params_m": 7 * network.gmacs}
            build.manifest = {**build.manifest, "compute": compute}
            build.size_bytes = int(7e6 * network.gmacs * SIZE[precision])
            benchmark = session.scalars(
                select(Benchmark).where(Benchmark.artifact_digest == build.digest)
            ).one()
            _measure(benchmark, network.rate * SPEED_UP[precision], precision)
            evaluation = session.scalars(
                select(Evaluation).where(Evaluation.artifact_digest == build.digest)
            ).one()
            _scatter(evaluation, seed=len(name))
            published = {**evaluation.protocol, "preprocessing": "published"}
            evaluation.protocol = published
            if precision == "fp16":
                continue
            session.add(_copy(benchmark, runtime=OPENVINO))
            protocol = {**published, "runtime": OPENVINO}
            recipe = evaluation.recipe[::-1]
            session.add(_copy(evaluation, recipe=recipe, protocol=protocol))
        session.flush()
        for benchmark in session.scalars(select(Benchmark).where(Benchmark.runtime == OPENVINO)):
            build = session.get(Artifact, benchmark.artifact_digest)
            if build is not None and build.model_id == f"timm/{name}":
                precision = str(build.precision)
                _measure(benchmark, 1.15 * network.rate * SPEED_UP[precision], precision)


def _measure(benchmark: Benchmark, rate: float, precision: str) -> None:
    benchmark.images_per_s = rate
    benchmark.images_per_s_low, benchmark.images_per_s_high = 0.98 * rate, 1.02 * rate
    for column, factor in (("mean", 1.0), ("p50", 1.0), ("p90", 1.1), ("p95", 1.2)):
        setattr(benchmark, f"latency_{column}_ms", factor * 1e3 / rate)
    benchmark.peak_rss_mb = 180.0 + 40 * SIZE[precision]
    if precision != "fp32":
        ratio = SPEED_UP[precision]
        speed_up = {"ratio": ratio, "low": 0.97 * ratio, "high": 1.03 * ratio, "rounds": 20}
        benchmark.protocol = {**benchmark.protocol, "speed_up": {**speed_up, "p_value": 0.001}}


def _scatter(evaluation: Evaluation, seed: int) -> None:
    """Wrong images of one model largely agree between precisions, as they do in reality."""
    from engine.config import settings

    path = settings().home / str(evaluation.per_image_path)
    with np.load(path) as stored:
        arrays = dict(stored)
    order = np.random.default_rng(seed).permutation(rows.IMAGES)
    arrays["rank"] = np.where(np.argsort(order) < (evaluation.top1_count or 0), 0, 7)
    np.savez(path, **arrays)


def _copy(row: Any, **changed: Any) -> Any:
    values = {
        column.name: getattr(row, column.name)
        for column in row.__table__.columns
        if column.name not in ("id", "created_at")
    }
    return type(row)(**values | changed)


def _import(url: str) -> None:
    """Evaluations of another machine on the same images: six, two for each network."""
    with reading(url) as session:
        template = session.scalars(select(Evaluation)).first()
    assert template is not None
    with writing(url) as session:
        for place, (name, right) in enumerate(IMPORTED.items()):
            for step, source in enumerate(("model card", "the other team")):
                digest = f"{place}{step}".ljust(64, "a")
                session.add(
                    ImportedBuild(
                        digest=digest,
                        model_id=f"timm/{name}",
                        precision="fp32",
                        source=source,
                        facts={},
                    )
                )
                session.flush()
                session.add(
                    _copy(
                        template,
                        recipe=f"{place}{step}".ljust(64, "b"),
                        artifact_digest=None,
                        imported_digest=digest,
                        top1_count=right - 3 * step,
                        per_image_path=None,
                    )
                )


def main() -> None:
    """Fills the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    home = parser.parse_args().home
    os.environ.update(SENET_HOME=str(home), SENET_HOST_LOCK=str(home / "host.lock"))
    from engine.store.database import prepare_database

    fill(prepare_database())


if __name__ == "__main__":
    main()
