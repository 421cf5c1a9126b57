"""A folder, or a zip file, of outputs with one npz file per image, as columns of predictions."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np

from engine.common.digests import data_digest
from engine.common.files import save_arrays
from engine.config import settings
from engine.datasets.archives import extract_files
from engine.errors import VaccFileInvalid
from engine.vacc.npz import read_output

MAX_OUTPUTS = 200_000
MAX_SCORES = 250_000_000
"""Scores in memory: 1 GB."""
_NUMBERED = re.compile(r"\d{6,}_(.+)")  # `vamp` puts the line of the list before the name


def write_folder_predictions(source: Path) -> Path:
    """Writes the image and the scores of each output as one npz file, and returns its path.

    The image is the name of the file, without the number that `vamp` puts before it. Raises
    VaccFileInvalid for a folder without npz files, and for outputs that are not of one model.
    """
    if source.is_file():
        with tempfile.TemporaryDirectory(dir=settings().folder("tmp")) as folder:
            extract_files(source, Path(folder) / "outputs", frozenset({".npz"}), "npz file")
            return _write(source.stem, Path(folder) / "outputs")
    return _write(source.name, source)


def outputs_in(folder: Path) -> list[Path]:
    """The npz files of a folder, sorted; those of its only subfolder where it has none itself."""
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise VaccFileInvalid(f"The folder {folder} cannot be read: {error.strerror}.") from error
    files = sorted(path for path in entries if path.suffix.lower() == ".npz")
    folders = [path for path in entries if path.is_dir()]
    return outputs_in(folders[0]) if not files and len(folders) == 1 else files


def _write(name: str, folder: Path) -> Path:
    files = outputs_in(folder)
    if not files:
        raise VaccFileInvalid(
            f"{name} holds no npz file: give the folder with one npz file per image."
        )
    if len(files) > MAX_OUTPUTS:
        raise VaccFileInvalid(
            f"{name} holds {len(files):,} npz files; at most {MAX_OUTPUTS:,} are taken."
        )
    scores: np.ndarray | None = None
    for row, path in enumerate(files):
        found = read_output(path)
        if scores is None:
            if len(files) * found.size > MAX_SCORES:
                raise VaccFileInvalid(
                    f"{name} holds {len(files):,} outputs of {found.size:,} scores, which is too "
                    f"much at once: import the result file of vamp_npz_decode instead."
                )
            scores = np.empty((len(files), found.size), np.float32)
        if found.size != scores.shape[1]:
            raise VaccFileInvalid(
                f"{path.name} has {found.size:,} scores, but the outputs before it have "
                f"{scores.shape[1]:,}: they are not of the same model."
            )
        scores[row] = found
    images = np.array([_image_of(path) for path in files])
    target = settings().folder("uploads") / "outputs" / f"{_digest(files)}.npz"
    target.parent.mkdir(exist_ok=True)
    save_arrays(target, image=images, scores=np.asarray(scores))
    return target


def _image_of(path: Path) -> str:
    numbered = _NUMBERED.fullmatch(path.stem)
    return numbered[1] if numbered else path.stem


def _digest(files: list[Path]) -> str:
    """A name for these files as they are now."""
    return data_digest([[str(path), path.stat().st_size, path.stat().st_mtime_ns]
                        for path in files])[:32]  # fmt: skip
