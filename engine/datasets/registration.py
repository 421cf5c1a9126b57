"""Registers a folder as a dataset: decodes every image once, and stores a report."""

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
from engine.datasets.label_files import LabelOptions
from engine.datasets.layouts import UNLABELED, Layout, detect_layout
from engine.datasets.locating import class_line, dataset_digest, find_folder, index_path, remember
from engine.datasets.pixel_facts import DecodedImage, decoded_image, pixel_facts
from engine.datasets.report import DatasetReport, PixelFacts
from engine.datasets.sampling import sample_calibration_images
from engine.errors import DatasetInvalid, ImageRejected
from engine.jobs.context import JobContext
from engine.preprocess import open_image
from engine.specs import DatasetSpec
from engine.specs.datasets import BUILTIN_DATASETS
from engine.store.objects import shared_store
from engine.store.shared import publish

Progress = Callable[[int, int], None]
SHOWN_CORRUPT = 20


@dataclass(frozen=True, slots=True)
class CheckedDataset:
    """A folder whose images were all decoded; `corrupt` are (file, reason) of unreadable images."""

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
    pixels: PixelFacts | None = None


def check_folder(
    root: Path, labeling: LabelOptions | None, progress: Progress, unlabelled: bool = False
) -> CheckedDataset:
    """Detects the layout and decodes every image. Raises DatasetInvalid if none is readable."""
    return check_images(root, detect_layout(root, labeling, unlabelled), progress)


def check_images(root: Path, layout: Layout, progress: Progress) -> CheckedDataset:
    """Decodes every image of a layout. Raises DatasetInvalid if none is readable."""
    outcomes = list(_outcomes(root, layout, progress))
    decoded = {
        i: outcome for i, outcome in enumerate(outcomes) if not isinstance(outcome, ImageRejected)
    }
    good = list(decoded)
    corrupt = [
        (layout.files[i], str(outcome))
        for i, outcome in enumerate(outcomes)
        if isinstance(outcome, ImageRejected)
    ]
    if not good:
        raise DatasetInvalid(
            f"{root}: none of {len(outcomes)} images can be read ({corrupt[0][1]})"
        )
    lines = [f"{layout.files[i]}\0{decoded[i].digest}\0{layout.labels[i]}\n" for i in good]
    lines += _class_lines(layout)
    classes = layout.classes or Classes((), ClassSource.NAMES)
    return CheckedDataset(
        root=root,
        layout=layout.name,
        files=tuple(layout.files[i] for i in good),
        labels=tuple(layout.labels[i] for i in good),
        classes=classes.names,
        corrupt=tuple(corrupt),
        digest=dataset_digest(lines),
        source=classes.source,
        present=classes.present,
        notes=layout.notes,
        pixels=pixel_facts(decoded.values()),
    )


def _class_lines(layout: Layout) -> list[str]:
    """The part of the digest for classes that do not follow from files and labels.

    It is empty for ImageNet's classes and for the folders with images, so digests of earlier
    versions stay valid.
    """
    if layout.classes is None:
        return []
    names, present = layout.classes.names, layout.classes.present
    folders = tuple(sorted({file.partition("/")[0] for file in layout.files}))
    is_implied = present is None or list(present) == sorted(set(layout.labels))
    if is_implied and names in (class_names(), folders):
        return []
    return [class_line([layout.classes.source, names, present])]


def _outcomes(
    root: Path, layout: Layout, progress: Progress
) -> Iterator[DecodedImage | ImageRejected]:
    def decode(name: str) -> DecodedImage | ImageRejected:
        try:
            data = (root / name).read_bytes()
            image = open_image(data, name)
        except ImageRejected as error:
            return error
        except OSError as error:
            return ImageRejected(f"{name} cannot be read: {error.strerror}.")
        return decoded_image(hashlib.sha256(data).hexdigest(), image)

    with ThreadPoolExecutor(settings().threads) as pool:
        for done, outcome in enumerate(pool.map(decode, layout.files), 1):
            progress(done, len(layout.files))
            yield outcome


def register(
    name: str, checked: CheckedDataset, url: str, label_options: dict[str, Any] | None = None
) -> Dataset:
    """Writes the index file and the database row; replaces an earlier dataset of the same name.

    `label_options` are stored for later checks, under the key `said`.
    """
    index = {
        "files": checked.files,
        "labels": checked.labels,
        "classes": checked.classes,
        "class_source": checked.source,
        "present": checked.present,
    }
    if checked.source is ClassSource.WNIDS or not _has_wnids(index_path(checked.digest)):
        write_text(index_path(checked.digest), json.dumps(index))
    publish(index_path(checked.digest))
    remember(checked.digest, checked.root)
    report = DatasetReport(
        corrupt=len(checked.corrupt),
        corrupt_files=list(checked.corrupt[:SHOWN_CORRUPT]),
        classes_present=len(set(checked.labels)) if checked.classes else 0,
        notes=list(checked.notes),
        said=label_options or {},
        pixels=checked.pixels,
    )
    with writing(url) as session:
        row = session.scalar(select(Dataset).where(Dataset.name == name)) or Dataset(name=name)
        row.root = _stored_root(checked.root)
        row.layout = checked.layout
        row.digest = checked.digest
        row.num_images = len(checked.files)
        row.num_classes = len(checked.classes)
        row.report = report.dump()
        session.add(row)
    return row


def _has_wnids(path: Path) -> bool:
    """Whether an index file of the same images and labels has wnids, the most precise source."""
    try:
        return bool(json.loads(path.read_text())["class_source"] == ClassSource.WNIDS)
    except (OSError, ValueError, KeyError):
        return False


def _stored_root(root: Path) -> str:
    """The path as stored: relative for a folder inside the home, so that the home can be moved."""
    home = settings().home
    return str(root.relative_to(home) if root.is_relative_to(home) else root)


def root_of(dataset: Dataset) -> Path:
    """The absolute folder of a registered dataset."""
    return settings().home / dataset.root


def require_folder(dataset: Dataset) -> Path:
    """The folder of a registered dataset on this machine.

    Raises DatasetInvalid, with the fix, if it is missing.
    """
    root = find_folder(dataset)
    if root is not None:
        return root
    if shared_store() is None:
        raise DatasetInvalid(
            f"{root_of(dataset)} of dataset {dataset.name!r} is missing; {recovery_hint(dataset)}."
        )
    raise DatasetInvalid(
        f"The images of dataset {dataset.name!r} are not on this machine: put a copy of its folder "
        f"into one of SENET_DATA_ROOTS. It is found by its content."
    )


def recovery_hint(dataset: Dataset) -> str:
    """How to restore a missing or changed dataset, as the end of a sentence."""
    if dataset.name in BUILTIN_DATASETS and root_of(dataset) == _builtin_folder(dataset.name):
        return f"`dataset draw {dataset.name}` generates it again"
    return f"restore it, or register its current folder with `dataset add {dataset.name} FOLDER`"


def find_dataset(name: str, url: str) -> Dataset:
    """The registered dataset of that name; raises DatasetInvalid, with how to add it."""
    with reading(url) as session:
        row = session.scalar(select(Dataset).where(Dataset.name == name))
        names = list(session.scalars(select(Dataset.name).order_by(Dataset.name)))
    if row is None:
        registered = f" Registered: {', '.join(names)}." if names else ""
        raise DatasetInvalid(
            f"There is no dataset {name!r}; add it with `dataset add {name} FOLDER`.{registered}"
        )
    return row


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: generates a built-in dataset if requested, then checks and registers it."""
    spec = DatasetSpec.model_validate(params)
    root = _generate(spec, context) if spec.builtin else Path(spec.root or "")
    context.stage(f"Decoding images of {root}.")
    layout = (
        sample_calibration_images(root, spec.suffix, spec.calibration_images)
        if spec.calibration_images
        else detect_layout(root, label_options_of(spec), spec.unlabelled)
    )
    checked = check_images(
        root, layout, lambda done, total: context.progress(done, total, "images")
    )
    label_options = spec.model_dump(mode="json", include=set(LABEL_OPTIONS), exclude_defaults=True)
    row = register(spec.name, checked, context.url, label_options)
    for note in checked.notes:
        context.say(note)
    classes = f" of {len(set(checked.labels))} classes" if checked.classes else ""
    context.say(
        f"{row.num_images:,} images{classes} ({row.layout}); {len(checked.corrupt)} unreadable."
    )
    return {"dataset": row.name, "digest": row.digest, **row.report}


LABEL_OPTIONS = ("labels", "label_columns", "label_base", "classes")


def label_options_of(spec: DatasetSpec) -> LabelOptions:
    """The label options of a spec."""
    return LabelOptions(
        file=Path(spec.labels) if spec.labels else None,
        columns=spec.label_columns,
        base=spec.label_base,
        classes=Path(spec.classes) if spec.classes else None,
    )


def current_layout(row: Dataset) -> Layout:
    """The current layout of a registered folder, detected with the options of its registration."""
    root = root_of(row)
    spec = DatasetSpec(name=row.name, root=str(root), **DatasetReport.of(row).said)
    return detect_layout(root, label_options_of(spec), row.layout == UNLABELED)


def _generate(spec: DatasetSpec, context: JobContext) -> Path:
    from engine.demo import images

    split = images.BUILTIN[spec.name]
    folder = _builtin_folder(spec.name)
    replace = spec.anew and folder.exists()
    # Hidden names, which the cleanup after a killed job removes.
    target = folder.with_name(f".{spec.name}-anew") if replace else folder
    if replace:
        shutil.rmtree(target, ignore_errors=True)
    context.stage(f"Generating the built-in dataset {spec.name}.")
    images.write_split(split, target, lambda done, total: context.progress(done, total, "images"))
    if replace:
        previous = folder.with_name(f".{spec.name}-before")
        folder.rename(previous)
        target.rename(folder)
        shutil.rmtree(previous, ignore_errors=True)
    return folder


def _builtin_folder(name: str) -> Path:
    return settings().folder("datasets") / name
