"""Which class an image of the vendor's lists shows: by a label file, or by its folder's wnid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from engine.datasets.imagenet import wnid_to_index
from engine.datasets.layouts import read_labels
from engine.errors import VaccFileInvalid
from engine.vacc.result_lines import read_class_names

_LABEL_LINE = re.compile(r"\S.*\s\d+")


def is_label_file(path: Path) -> bool:
    """Whether the first line is `<file> <class index>`, rather than a class name."""
    try:
        with path.open(encoding="utf-8") as stream:
            return bool(_LABEL_LINE.fullmatch(stream.readline().strip()))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise VaccFileInvalid(f"The label file {path} cannot be read: {reason}.") from error


def labels_of(paths: Sequence[str | PurePath], label_file: Path | None) -> np.ndarray:
    """The class index of each path, int64 (n,).

    From lines `<file> <class index>`, by the file's name without its suffix; else from the wnid of
    the folder that it lies in. Raises VaccFileInvalid naming the first image without a label.
    """
    if label_file is not None and is_label_file(label_file):
        by_stem = {_stem(name): index for name, index in read_labels(label_file).items()}
        return _look_up(paths, by_stem, lambda path: path.stem, f"no line in {label_file.name}")
    if label_file is not None:
        read_class_names(label_file)
    return _look_up(
        paths,
        wnid_to_index(),
        lambda path: path.parent.name,
        "no folder named by a wnid; give --label FILE with lines '<file> <class index>'",
    )


def _look_up(
    paths: Sequence[str | PurePath], known: dict[str, int], key_of: object, lack: str
) -> np.ndarray:
    keys = [key_of(PurePath(path)) for path in paths]  # type: ignore[operator]
    missing = [path for path, key in zip(paths, keys, strict=True) if key not in known]
    if missing:
        raise VaccFileInvalid(
            f"{len(missing):,} of {len(paths):,} images have {lack} (the first: {missing[0]})."
        )
    return np.array([known[key] for key in keys], np.int64)


def _stem(name: str) -> str:
    return PurePath(name).stem
