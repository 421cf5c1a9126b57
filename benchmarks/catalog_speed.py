"""Speed of the 25 catalog networks on this machine's CPU, by precision and runtime.

    python -m benchmarks.catalog_speed --home FOLDER [--prepare] [--minutes 7] [--batch 1 8]

Random weights; int8 is calibrated on 16 synthetic images. Everything goes through the product's own
queue: for each network and batch size one measuring session over fp32, bf16 and int8 in ONNX
Runtime and OpenVINO, as far as these execute them. Each build runs in a process of its own, the
builds in turn, round by round.

`--prepare` only exports and builds, which needs no quiet machine. A row that is disturbed by other
load is measured again, up to `--attempts` times in a call. A call after a stop goes on with what
is missing; `--minutes` starts no session after that time. The document is written after each
session.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.catalog_speed_document import is_complete, write_document
from db.enums import JobStatus, Precision, WeightsKind
from engine.catalog.models import catalog
from engine.cli.watch import watch_jobs
from engine.config import settings
from engine.runs.request import RunRequest, Task
from engine.runs.submit import run_job_ids, submit
from engine.specs import DEFAULT_RUNTIME, WeightsSpec
from engine.specs.datasets import BUILTIN_CALIBRATION
from engine.specs.precisions import OPENVINO
from engine.store.database import prepare_database

TYPICAL = ("timm/seresnet50", "timm/seresnext50_32x4d")
CALIBRATION_IMAGES = 16
OUTPUT = Path("docs/results/catalog_speed.md")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: a network at a batch size."""

    model_id: str
    batch: int


def main() -> int:
    """Prepares or measures what is missing, and writes the document."""
    options = _options()
    os.environ["SENET_HOME"] = str(options.home.absolute())
    settings.cache_clear()
    url = prepare_database()
    if options.prepare:
        for model_id in options.models or models_in_order():
            prepare(model_id, url)
        return 0
    missing = measure(options, url)
    for row in missing:
        _say(f"not measured: {row.model_id}, batch {row.batch}")
    return 1 if missing else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--home", type=Path, required=True, help="kept between calls")
    parser.add_argument("--models", nargs="+", help="default: all of the catalog")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--prepare", action="store_true", help="export and build only")
    parser.add_argument("--minutes", type=float, default=1e6, help="start no session after this")
    parser.add_argument("--attempts", type=int, default=2, help="for a disturbed row, in a call")
    parser.add_argument("--max-s", type=float, default=15.0, help="for each build of a session")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args()


def models_in_order() -> list[str]:
    """The networks of the catalog: the typical ones, then by published FLOPs."""
    models = catalog()
    by_compute = sorted(models, key=lambda name: models[name].published_flops_g or 0)
    return [*TYPICAL, *(name for name in by_compute if name not in TYPICAL)]


def prepare(model_id: str, url: str) -> None:
    """Exports a network and builds all precisions, through the queue."""
    begun = time.monotonic()
    _run(_request(model_id, (Task.BUILD,), 1, 15.0), url)
    _say(f"{model_id} is built, {time.monotonic() - begun:.0f} s")


def measure(options: argparse.Namespace, url: str) -> list[Row]:
    """Measures the missing rows while there is time; those that are still missing."""
    begun = time.monotonic()
    rows = [Row(name, b) for b in options.batch for name in options.models or models_in_order()]
    for row in rows:
        for _ in range(options.attempts):
            late = time.monotonic() - begun > 60 * options.minutes
            if late or is_complete(row.model_id, row.batch, url):
                break
            started = time.monotonic()
            _run(_request(row.model_id, (Task.BENCHMARK,), row.batch, options.max_s), url)
            _say(f"{row.model_id}, batch {row.batch}: {time.monotonic() - started:.0f} s")
            write_document(options.output, models_in_order(), url)
    write_document(options.output, models_in_order(), url)
    return [row for row in rows if not is_complete(row.model_id, row.batch, url)]


def _request(model_id: str, tasks: tuple[Task, ...], batch: int, max_s: float) -> RunRequest:
    return RunRequest(
        model_id=model_id,
        weights=WeightsSpec(kind=WeightsKind.RANDOM),
        precisions=(Precision.FP32, Precision.BF16, Precision.INT8),
        runtimes=(DEFAULT_RUNTIME, OPENVINO),
        tasks=tasks,
        batches=(batch,),
        calibration_dataset=BUILTIN_CALIBRATION,
        calibration_images=CALIBRATION_IMAGES,
        benchmark_max_s=max_s,
    )


def _run(request: RunRequest, url: str) -> None:
    """Queues a run and waits for its jobs; failures are told."""
    for job in watch_jobs(run_job_ids(submit(request, url), url), url):
        if job.status != JobStatus.SUCCEEDED:
            _say(f"{job.title}: {job.status}, {job.error}")


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
