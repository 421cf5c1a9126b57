"""Commands `dataset`: add, draw, list, check, cache."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy import select

from db.models import Dataset
from db.session import reading, writing
from engine.cli import option_groups as g
from engine.cli.option_groups import expand_groups
from engine.cli.options import Json
from engine.cli.output import emit_json, emit_table, note, progress_bar
from engine.cli.watch import watch_jobs
from engine.config import settings
from engine.datasets import pixel_cache
from engine.datasets.layouts import Layout
from engine.datasets.reader import open_index
from engine.datasets.registration import (
    check_images,
    current_layout,
    find_dataset,
    recovery_hint,
    require_folder,
    root_of,
)
from engine.datasets.report import DatasetReport
from engine.datasets.sampling import CALIBRATION_LAYOUT
from engine.errors import DatasetInvalid, InvalidRequest
from engine.jobs import queue
from engine.jobs.results import JobResult
from engine.runs.compile import dataset_job
from engine.specs import DatasetSpec, absolute
from engine.specs.datasets import BUILTIN_DATASETS
from engine.store.database import prepare_database

if TYPE_CHECKING:
    from engine.build.int8.statistics.cache import CachedCalibration

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name of the dataset.")]


@app.command("add")
@expand_groups
def add(
    name: Name,
    folder: Annotated[
        Path,
        typer.Argument(
            help="A folder per class, a flat folder of nXXXXXXXX_*.JPEG, or images with "
            "val_label.txt (lines `<file> <class index>`)."
        ),
    ],
    *,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Label file, if it is not val_label.txt: lines of image and class (an index, a "
            "wnid or a name), a CSV, or JSON."
        ),
    ] = None,
    labeling: g.LabelOptions,
    unlabeled: Annotated[
        bool,
        typer.Option(
            "--unlabeled", help="Images without labels: for comparing builds, not for accuracy."
        ),
    ] = False,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", hidden=True)] = False,
    json: Json = False,
) -> int:
    """Registers a folder of images: decodes every image once, and reports classes and problems.

    Example: `python -m engine dataset add imagenet-val ~/imagenet/val`
    """
    url = prepare_database()
    classes = labeling.classes
    spec = DatasetSpec(
        name=name,
        root=absolute(folder),
        labels=absolute(labels) if labels else None,
        label_columns=labeling.label_columns,
        label_base=labeling.label_base,
        classes=absolute(classes) if classes else None,
        unlabelled=unlabeled or unlabelled,
    )
    return _register(spec, url, json)


@app.command("draw")
def draw(name: Name, json: Json = False) -> int:
    """Generates and registers a built-in dataset (`demo`, `demo-calibration`), again if it exists.

    Example: `python -m engine dataset draw demo`
    """
    url = prepare_database()
    if name not in BUILTIN_DATASETS:
        raise InvalidRequest(
            f"{name!r} is not a built-in dataset; choose {' or '.join(BUILTIN_DATASETS)}."
        )
    return _register(DatasetSpec(name=name, builtin=True, anew=True), url, json)


def _register(spec: DatasetSpec, url: str, json: bool) -> int:
    """Queues the job, follows it, and reports the result; returns the exit code."""
    with writing(url) as session:
        job_id = queue.submit(session, dataset_job(spec))
    job = watch_jobs([job_id], url)[0]
    if json:
        emit_json({"job": job.id, "status": job.status, "error": job.error, "result": job.result})
    elif job.status == "succeeded":
        note(str(job.message))
        result = JobResult.from_stored(job.result)
        for text in result.notes:
            note(f"  {text}")
        for file, reason in result.corrupt_files:
            note(f"  {file}: {reason}")
    if job.status != "succeeded" and not json:
        note(f"Error: {job.error}")
    return 0 if job.status == "succeeded" else 1


@app.command("list")
def list_datasets(json: Json = False) -> None:
    """Lists the registered datasets.

    Example: `python -m engine dataset list`
    """
    with reading(prepare_database()) as session:
        rows = list(session.scalars(select(Dataset).order_by(Dataset.name)))
    if json:
        emit_json([_describe(row) for row in rows])
        return
    emit_table(
        "Datasets",
        ("name", "images", "classes", "unreadable", "layout", "folder"),
        [
            (r.name, r.num_images, r.num_classes, DatasetReport.of(r).corrupt, r.layout, root_of(r))
            for r in rows
        ],
    )
    if not rows:
        note("None yet: register one with `dataset add NAME FOLDER`; `demo` generates its own.")


@app.command("check")
def check_again(name: Name, json: Json = False) -> int:
    """Decodes a dataset again and reports whether it is unchanged since its registration.

    Example: `python -m engine dataset check imagenet-val`
    """
    row = find_dataset(name, prepare_database())
    root = require_folder(row)
    with progress_bar() as progress:
        bar = progress.add_task(f"Checking {name}", total=None)
        try:
            images = check_images(
                root,
                _layout_now(row),
                lambda done, total: progress.update(bar, completed=done, total=total),
            )
        except DatasetInvalid as error:
            raise DatasetInvalid(f"{str(error).rstrip('.')}; {recovery_hint(row)}.") from error
    same = images.digest == row.digest
    if json:
        emit_json({**_describe(row), "unchanged": same, "corrupt_now": len(images.corrupt)})
    elif same:
        note(f"{name}: {row.num_images:,} images, unchanged.")
    else:
        note(
            f"{name} has changed: {len(images.files):,} readable images now, {row.num_images:,} "
            f"when registered; {recovery_hint(row)}."
        )
    return 0 if same else 1


@app.command("cache")
def cache(
    name: Annotated[str | None, typer.Argument(help="Only caches of this dataset.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove the caches.")] = False,
    json: Json = False,
) -> None:
    """Lists, or removes, the caches of datasets: preprocessed images and calibration statistics.

    Cached images save the decoding in later evaluations; cached statistics save the calibration
    passes of later int8 builds.

    Example: `python -m engine dataset cache --clear`
    """
    from engine.build.int8.statistics import cache as statistics_cache  # imports onnxruntime

    if clear:
        freed = pixel_cache.clear(name) + statistics_cache.clear(name)
        if json:
            emit_json({"freed_bytes": freed})
        else:
            note(f"{freed / 1e6:,.0f} MB freed.")
        return
    pixel_caches = [k for k in pixel_cache.list_caches() if name in (None, k.dataset_name)]
    calibrations = [k for k in statistics_cache.list_cached() if name in (None, k.dataset_name)]
    if json:
        emit_json(
            [{**asdict(k), "folder": str(k.folder)} for k in pixel_caches]
            + [{**asdict(k), "folder": str(k.folder)} for k in calibrations]
        )
        return
    emit_table(
        "Preprocessed images",
        ("dataset", "preprocessing", "cached", "of", "MB", "last used"),
        [
            (
                k.dataset_name,
                k.prepared,
                k.present,
                k.images,
                k.disk_bytes / 1e6,
                _moment(k.used_at),
            )
            for k in pixel_caches
        ],
    )
    if calibrations:
        _show_calibrations(calibrations)
    total = sum(k.disk_bytes for k in pixel_caches) / 1e9
    note(f"{total:.2f} GB of at most {settings().cache_gb:g} GB (SENET_CACHE_GB).")


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _show_calibrations(calibrations: list[CachedCalibration]) -> None:
    emit_table(
        "Calibration statistics",
        ("dataset", "model", "images", "MB", "last used"),
        [
            (k.dataset_name, k.model_id, k.images, k.disk_bytes / 1e6, _moment(k.used_at))
            for k in calibrations
        ],
    )


def _layout_now(row: Dataset) -> Layout:
    """The current layout; calibration images were sampled, so their registered files are used."""
    if row.layout != CALIBRATION_LAYOUT:
        return current_layout(row)
    index = open_index(row)
    return Layout(
        CALIBRATION_LAYOUT, index.files, tuple(int(label) for label in index.labels), None
    )


def _describe(row: Dataset) -> dict[str, object]:
    return {
        "name": row.name,
        "root": str(root_of(row)),
        "layout": row.layout,
        "digest": row.digest,
        "images": row.num_images,
        "classes": row.num_classes,
        **row.report,
    }
