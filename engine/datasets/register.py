"""Registers a folder as a dataset: every image is decoded once, and what was found is reported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from db.session import reading, writing
from db.tables import Dataset
from engine.config import settings
from engine.datasets.calibration import draw_to_calibrate
from engine.datasets.layouts import Layout, recognise
from engine.errors import DatasetInvalid, ImageRejected
from engine.files import write_text
from engine.jobs.context import JobContext
from engine.preprocess import open_image
from engine.specs import DatasetSpec

Progress = Callable[[int, int], None]
SHOWN_CORRUPT = 20


@dataclass(frozen=True, slots=True)
class Checked:
    """A folder after every image was decoded. `corrupt` is (file, reason); those have no label."""

    root: Path
    layout: str
    files: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    corrupt: tuple[tuple[str, str], ...]
    digest: str


def check(
    root: Path, label_file: Path | None, progress: Progress, unlabelled: bool = False
) -> Checked:
    """Recognises the layout and decodes every image. Raises DatasetInvalid when none is usable."""
    return check_layout(root, recognise(root, label_file, unlabelled), progress)


def check_layout(root: Path, layout: Layout, progress: Progress) -> Checked:
    """Decodes every image of a layout. Raises DatasetInvalid when none is usable."""
    outcomes = list(_outcomes(root, layout, progress))
    good = [i for i, outcome in enumerate(outcomes) if not isinstance(outcome, ImageRejected)]
    corrupt = [
        (layout.files[i], str(outcome))
        for i, outcome in enumerate(outcomes)
        if isinstance(outcome, ImageRejected)
    ]
    if not good:
        raise DatasetInvalid(
            f"{root}: none of {len(outcomes)} images can be read ({corrupt[0][1]})"
        )
    lines = [f"{layout.files[i]}\0{outcomes[i]}\0{layout.labels[i]}\n" for i in good]
    return Checked(
        root=root,
        layout=layout.name,
        files=tuple(layout.files[i] for i in good),
        labels=tuple(layout.labels[i] for i in good),
        classes=layout.classes,
        corrupt=tuple(corrupt),
        digest=hashlib.sha256("".join(lines).encode()).hexdigest(),
    )


def _outcomes(root: Path, layout: Layout, progress: Progress) -> Iterator[str | ImageRejected]:
    def decode(name: str) -> str | ImageRejected:
        try:
            data = (root / name).read_bytes()
            open_image(data, name)
        except ImageRejected as error:
            return error
        except OSError as error:
            return ImageRejected(f"{name} cannot be read: {error.strerror}.")
        return hashlib.sha256(data).hexdigest()

    with ThreadPoolExecutor(settings().threads) as pool:
        for done, outcome in enumerate(pool.map(decode, layout.files), 1):
            progress(done, len(layout.files))
            yield outcome


def register(name: str, checked: Checked, url: str) -> Dataset:
    """Writes the index file and the row; a name used before now means this folder."""
    index = {"files": checked.files, "labels": checked.labels, "classes": checked.classes}
    write_text(index_path(checked.digest), json.dumps(index))
    report: dict[str, Any] = {
        "corrupt": len(checked.corrupt),
        "corrupt_files": [list(pair) for pair in checked.corrupt[:SHOWN_CORRUPT]],
        "classes_present": len(set(checked.labels)) if checked.classes else 0,
    }
    with writing(url) as session:
        row = session.scalar(select(Dataset).where(Dataset.name == name)) or Dataset(name=name)
        row.root = str(checked.root)
        row.layout = checked.layout
        row.digest = checked.digest
        row.num_images = len(checked.files)
        row.num_classes = len(checked.classes)
        row.report = report
        session.add(row)
    return row


def index_path(digest: str) -> Path:
    """Where the list of a dataset's files and labels is."""
    return settings().folder("datasets") / f"{digest}.json"


def find_dataset(name: str, url: str) -> Dataset:
    """The registered dataset of that name; DatasetInvalid says how to add one."""
    with reading(url) as session:
        row = session.scalar(select(Dataset).where(Dataset.name == name))
        names = list(session.scalars(select(Dataset.name).order_by(Dataset.name)))
    if row is None:
        known = f" Registered: {', '.join(names)}." if names else ""
        raise DatasetInvalid(
            f"There is no dataset {name!r}; add one with `dataset add {name} FOLDER`.{known}"
        )
    return row


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: draws a built-in set if asked, then checks and registers the folder."""
    spec = DatasetSpec.model_validate(params)
    root = _draw(spec, context) if spec.builtin else Path(spec.root or "")
    context.stage(f"Decoding images of {root}.")
    labels = Path(spec.labels) if spec.labels else None
    layout = (
        draw_to_calibrate(root, spec.suffix, spec.calibration_images)
        if spec.calibration_images
        else recognise(root, labels, spec.unlabelled)
    )
    checked = check_layout(
        root, layout, lambda done, total: context.progress(done, total, "images")
    )
    row = register(spec.name, checked, context.url)
    classes = f" of {len(set(checked.labels))} classes" if checked.classes else ""
    context.say(
        f"{row.num_images:,} images{classes} ({row.layout}); {len(checked.corrupt)} cannot be read."
    )
    return {"dataset": row.name, "digest": row.digest, **row.report}


def _draw(spec: DatasetSpec, context: JobContext) -> Path:
    from engine.demo import images

    split = {"demo": images.EVALUATION, "demo-calibration": images.CALIBRATION}[spec.name]
    folder = settings().folder("datasets") / spec.name
    context.stage(f"Drawing the built-in set {spec.name}.")
    images.write_split(split, folder, lambda done, total: context.progress(done, total, "images"))
    return folder
