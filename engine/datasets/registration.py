"""Registers a folder as a dataset: every image is decoded once, and what was found is reported."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from db.models import Dataset
from db.session import reading, writing
from engine.common.files import write_text
from engine.config import settings
from engine.datasets.classes import Classes, ClassSource
from engine.datasets.imagenet import class_names
from engine.datasets.label_files import Labeling
from engine.datasets.layouts import UNLABELED, Layout, recognize
from engine.datasets.report import DatasetReport
from engine.datasets.sampling import draw_to_calibrate
from engine.errors import DatasetInvalid, ImageRejected
from engine.jobs.context import JobContext
from engine.preprocess import open_image
from engine.specs import DatasetSpec
from engine.specs.datasets import BUILTIN_DATASETS

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
    source: ClassSource = ClassSource.NAMES
    present: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()


def check(
    root: Path, labeling: Labeling | None, progress: Progress, unlabelled: bool = False
) -> Checked:
    """Recognizes the layout and decodes every image. Raises DatasetInvalid when none is usable."""
    return check_layout(root, recognize(root, labeling, unlabelled), progress)


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
    lines += _unusual_classes(layout)
    classes = layout.classes or Classes((), ClassSource.NAMES)
    return Checked(
        root=root,
        layout=layout.name,
        files=tuple(layout.files[i] for i in good),
        labels=tuple(layout.labels[i] for i in good),
        classes=classes.names,
        corrupt=tuple(corrupt),
        digest=hashlib.sha256("".join(lines).encode()).hexdigest(),
        source=classes.source,
        present=classes.present,
        notes=layout.notes,
    )


def _unusual_classes(layout: Layout) -> list[str]:
    """What a digest holds of classes that do not follow from the files and labels alone.

    ImageNet's and those of the folders that have images do, so that their datasets keep their
    digests.
    """
    if layout.classes is None:
        return []
    names, present = layout.classes.names, layout.classes.present
    folders = tuple(sorted({file.partition("/")[0] for file in layout.files}))
    follows = present is None or list(present) == sorted(set(layout.labels))
    if follows and names in (class_names(), folders):
        return []
    return [f"\0classes\0{json.dumps([layout.classes.source, names, present])}\n"]


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


def register(name: str, checked: Checked, url: str, said: dict[str, Any] | None = None) -> Dataset:
    """Writes the index file and the row; a name used before now means this folder.

    `said` is what the user said of the labels, for a later check.
    """
    index = {
        "files": checked.files,
        "labels": checked.labels,
        "classes": checked.classes,
        "class_source": checked.source,
        "present": checked.present,
    }
    if checked.source is ClassSource.WNIDS or not _is_by_wnid(index_path(checked.digest)):
        write_text(index_path(checked.digest), json.dumps(index))
    report = DatasetReport(
        corrupt=len(checked.corrupt),
        corrupt_files=list(checked.corrupt[:SHOWN_CORRUPT]),
        classes_present=len(set(checked.labels)) if checked.classes else 0,
        notes=list(checked.notes),
        said=said or {},
    )
    with writing(url) as session:
        row = session.scalar(select(Dataset).where(Dataset.name == name)) or Dataset(name=name)
        row.root = _kept(checked.root)
        row.layout = checked.layout
        row.digest = checked.digest
        row.num_images = len(checked.files)
        row.num_classes = len(checked.classes)
        row.report = report.dump()
        session.add(row)
    return row


def _is_by_wnid(path: Path) -> bool:
    """Whether the same images with the same labels were registered by wnid, which tells most."""
    try:
        return bool(json.loads(path.read_text())["class_source"] == ClassSource.WNIDS)
    except (OSError, ValueError, KeyError):
        return False


def _kept(root: Path) -> str:
    """A folder inside the home is kept relative to it, and so moves with it."""
    home = settings().home
    return str(root.relative_to(home) if root.is_relative_to(home) else root)


def root_of(dataset: Dataset) -> Path:
    """The folder of a registered dataset, wherever the home is now."""
    return settings().home / dataset.root


def require_there(dataset: Dataset) -> Path:
    """The folder of a registered dataset; DatasetInvalid if it is gone, with the way out."""
    root = root_of(dataset)
    if not root.is_dir():
        raise DatasetInvalid(f"{root} of dataset {dataset.name!r} is gone; {way_back(dataset)}.")
    return root


def way_back(dataset: Dataset) -> str:
    """How to have a dataset again, or as it is now."""
    if dataset.name in BUILTIN_DATASETS and root_of(dataset) == _folder_drawn(dataset.name):
        return f"`dataset draw {dataset.name}` draws it again"
    return (
        f"put it back as it was, or register its folder as it is with `dataset add {dataset.name} "
        f"FOLDER`"
    )


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
    layout = (
        draw_to_calibrate(root, spec.suffix, spec.calibration_images)
        if spec.calibration_images
        else recognize(root, labeling_of(spec), spec.unlabelled)
    )
    checked = check_layout(
        root, layout, lambda done, total: context.progress(done, total, "images")
    )
    said = spec.model_dump(mode="json", include=set(SAID), exclude_defaults=True)
    row = register(spec.name, checked, context.url, said)
    for note in checked.notes:
        context.say(note)
    classes = f" of {len(set(checked.labels))} classes" if checked.classes else ""
    context.say(
        f"{row.num_images:,} images{classes} ({row.layout}); {len(checked.corrupt)} cannot be read."
    )
    return {"dataset": row.name, "digest": row.digest, **row.report}


SAID = ("labels", "label_columns", "label_base", "classes")


def labeling_of(spec: DatasetSpec) -> Labeling:
    """What the user says of the labels."""
    return Labeling(
        file=Path(spec.labels) if spec.labels else None,
        columns=spec.label_columns,
        base=spec.label_base,
        classes=Path(spec.classes) if spec.classes else None,
    )


def layout_now(row: Dataset) -> Layout:
    """A registered folder as it is now, read as it was when it was registered."""
    root = root_of(row)
    spec = DatasetSpec(name=row.name, root=str(root), **DatasetReport.of(row).said)
    return recognize(root, labeling_of(spec), row.layout == UNLABELED)


def _draw(spec: DatasetSpec, context: JobContext) -> Path:
    from engine.demo import images

    split = images.BUILTIN[spec.name]
    folder = _folder_drawn(spec.name)
    again = spec.anew and folder.exists()
    # Beside it, and by a name that is cleared away when the job is killed.
    drawn = folder.with_name(f".{spec.name}-anew") if again else folder
    if again:
        shutil.rmtree(drawn, ignore_errors=True)
    context.stage(f"Drawing the built-in set {spec.name}.")
    images.write_split(split, drawn, lambda done, total: context.progress(done, total, "images"))
    if again:
        before = folder.with_name(f".{spec.name}-before")
        folder.rename(before)
        drawn.rename(folder)
        shutil.rmtree(before, ignore_errors=True)
    return folder


def _folder_drawn(name: str) -> Path:
    return settings().folder("datasets") / name
