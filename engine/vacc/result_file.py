"""The vendor's result file as columns of predictions, for an import."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import numpy as np

from engine.common.files import save_arrays
from engine.errors import VaccFileInvalid
from engine.vacc.result_lines import TOP, read_lines


def write_predictions(path: Path, folder: Path) -> Path:
    """Writes the images and top-5 of a result file of vamp_npz_decode as an npz file.

    Raises VaccFileInvalid for a file of another kind, or without five lines for each image.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VaccFileInvalid(f"{path.name} cannot be read as text.") from error
    ranked = list(read_lines(lines, path.name))
    if not ranked:
        raise VaccFileInvalid(f"{path.name} contains no results.")
    short = [image.path for image in ranked if len(image.ids) != TOP]
    if short:
        raise VaccFileInvalid(
            f"{path.name}: {len(short):,} images do not have {TOP} lines (the first: {short[0]})."
        )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}.npz"
    save_arrays(
        target,
        image=np.array([PureWindowsPath(image.path).name for image in ranked]),
        top5=np.array([image.ids for image in ranked], np.int64),
        top5_probability=np.array([image.scores for image in ranked], np.float32),
    )
    return target
