"""Refuses a folder whose class folders are one level deeper, and names the folder to register."""

from __future__ import annotations

from pathlib import Path

from engine.datasets.folders import join_first
from engine.datasets.imagenet import WNID
from engine.errors import DatasetInvalid

SPLIT_NAMES = frozenset(
    ("train", "training", "val", "valid", "validation", "test", "testing", "eval", "dev", "holdout")
)
IMAGE_FOLDER_NAMES = frozenset(
    ("images", "image", "img", "imgs", "jpegimages", "photos", "pictures", "data")
)
MAX_SHOWN = 4


def refuse_nested(root: Path, by_folder: dict[str, list[str]]) -> None:
    """Raises DatasetInvalid if the folders of the root are not classes but contain the classes.

    `by_folder` are the images of each folder of the root, as paths relative to the root.
    """
    non_empty = {folder: images for folder, images in by_folder.items() if images}
    if all(WNID.fullmatch(name) or name.isdigit() for name in non_empty):
        return
    if len(non_empty) == 1:
        _refuse_single(root, *next(iter(non_empty.items())))
        return
    splits = [folder for folder in non_empty if folder.lower() in SPLIT_NAMES]
    if len(splits) == len(non_empty) or len(splits) > 1:
        raise DatasetInvalid(_message(root, {f: len(non_empty[f]) for f in splits}))
    if any(image.count("/") == 1 for images in non_empty.values() for image in images):
        return
    subfolders = {
        folder: {image.split("/")[1] for image in images} for folder, images in non_empty.items()
    }
    if any(len(subfolders[a] & subfolders[b]) > 1 for a in subfolders for b in subfolders if a < b):
        raise DatasetInvalid(_message(root, {f: len(images) for f, images in non_empty.items()}))


def _refuse_single(root: Path, folder: str, images: list[str]) -> None:
    """Refuses a single folder, unless it contains images directly and has no name of a split."""
    relative = [image.partition("/")[2] for image in images]
    has_images = any("/" not in image for image in relative)
    if has_images and folder.lower() not in SPLIT_NAMES | IMAGE_FOLDER_NAMES:
        return
    if has_images:
        raise DatasetInvalid(_message(root, {folder: len(images)}))
    by_folder: dict[str, list[str]] = {}
    for image in relative:
        by_folder.setdefault(image.partition("/")[0], []).append(image)
    if len(by_folder) == 1 or all(name.lower() in SPLIT_NAMES for name in by_folder):
        refuse_nested(root / folder, by_folder)
    raise DatasetInvalid(_message(root, {folder: len(images)}))


def _message(root: Path, counts: dict[str, int]) -> str:
    texts = [f"{root / folder} ({count:,} images)" for folder, count in counts.items()]
    folders = join_first(texts, MAX_SHOWN)
    chosen = next((f for f in counts if f.lower().startswith("val")), next(iter(counts)))
    which = "it" if len(counts) == 1 else "one of them"
    return (
        f"{root} does not contain class folders: the images are in {folders}. "
        f"Register {which}, for example `dataset add NAME {root / chosen}`."
    )
