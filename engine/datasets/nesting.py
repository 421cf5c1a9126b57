"""Folders whose images are not where they were looked for: where they are, in one sentence."""

from __future__ import annotations

from pathlib import Path

from engine.datasets.folders import listed
from engine.datasets.imagenet import WNID
from engine.errors import DatasetInvalid

SPLITS = frozenset(
    ("train", "training", "val", "valid", "validation", "test", "testing", "eval", "dev", "holdout")
)
PLAIN = frozenset(("images", "image", "img", "imgs", "jpegimages", "photos", "pictures", "data"))
MOST_SHOWN = 4


def refuse_nested(root: Path, found: dict[str, list[str]]) -> None:
    """Raises DatasetInvalid where the folders of the root are no classes but hold the classes.

    `found` are the images of each folder of the root, as paths relative to it.
    """
    full = {folder: images for folder, images in found.items() if images}
    if all(WNID.fullmatch(name) or name.isdigit() for name in full):
        return
    if len(full) == 1:
        _refuse_single(root, *next(iter(full.items())))
        return
    splits = [folder for folder in full if folder.lower() in SPLITS]
    if len(splits) == len(full) or len(splits) > 1:
        raise DatasetInvalid(_sentence(root, {f: len(full[f]) for f in splits}))
    if any(image.count("/") == 1 for images in full.values() for image in images):
        return
    inner = {folder: {image.split("/")[1] for image in images} for folder, images in full.items()}
    if any(len(inner[a] & inner[b]) > 1 for a in inner for b in inner if a < b):
        raise DatasetInvalid(_sentence(root, {f: len(images) for f, images in full.items()}))


def _refuse_single(root: Path, folder: str, images: list[str]) -> None:
    """A single folder is one class only where its images lie in it, and it is not called a set."""
    where, rest = root / folder, [image.partition("/")[2] for image in images]
    direct = any("/" not in image for image in rest)
    if direct and folder.lower() not in SPLITS | PLAIN:
        return
    if direct:
        raise DatasetInvalid(_sentence(root, {folder: len(images)}))
    below: dict[str, list[str]] = {}
    for image in rest:
        below.setdefault(image.partition("/")[0], []).append(image)
    if len(below) == 1 or all(name.lower() in SPLITS for name in below):
        refuse_nested(where, below)
    raise DatasetInvalid(_sentence(root, {folder: len(images)}))


def _sentence(root: Path, counts: dict[str, int]) -> str:
    places = [f"{root / folder} ({count:,} images)" for folder, count in counts.items()]
    chosen = next((f for f in counts if f.lower().startswith("val")), next(iter(counts)))
    which = "it" if len(counts) == 1 else "one of them"
    return (
        f"{root} is no folder of classes: the images are in {listed(places, MOST_SHOWN)}. Register "
        f"{which}, for example `dataset add NAME {root / chosen}`."
    )
