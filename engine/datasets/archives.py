"""Datasets that are uploaded as a zip file: extracted within limits into the home."""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from engine.common.files import disk_full_as_error
from engine.config import PRIVATE, settings
from engine.datasets.folders import IGNORED, suffix_of, suffixes
from engine.errors import DatasetInvalid

MAX_FILES = 200_000
MAX_TOTAL_BYTES = 20_000_000_000
MAX_FILE_BYTES = 50_000_000
MAX_RATIO = 200
"""Images are compressed already: a file that grows more than this is no honest one."""
TEXTS = frozenset({".txt", ".csv", ".json", ".tsv"})
CHUNK = 1 << 20


def extract_dataset(archive: Path) -> Path:
    """Extracts images and label files; returns the folder with the images.

    The folder is `<home>/uploads/datasets/<sha256>`, or its only subfolder, and appears whole or
    not at all. Raises DatasetInvalid for anything but a zip of files within the limits.
    """
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    target = settings().folder("uploads") / "datasets" / digest
    if not target.is_dir():
        with disk_full_as_error(settings().home):
            target.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as part:
                extract_files(archive, Path(part) / "images", suffixes(), "image", TEXTS)
                (Path(part) / "images").rename(target)
    return _only_folder(target)


def extract_files(
    archive: Path,
    folder: Path,
    wanted: frozenset[str],
    noun: str,
    beside: frozenset[str] = frozenset(),
) -> None:
    """Extracts the files with the suffixes of `wanted` and `beside` into a new folder.

    `noun` is what one of `wanted` is. Raises DatasetInvalid for a zip without one, for anything
    but a zip, and for one over the limits.
    """
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as bundle:
            found = _wanted(archive.name, bundle, wanted, noun, beside)
            for info, name in found:
                _write(bundle, info, folder / name, archive.name)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DatasetInvalid(f"{archive.name} is no readable zip file: {error}.") from error


def _wanted(
    archive: str,
    bundle: zipfile.ZipFile,
    wanted: frozenset[str],
    noun: str,
    beside: frozenset[str],
) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The files of the archive that are extracted, with their paths, within the limits."""
    found: list[tuple[zipfile.ZipInfo, PurePosixPath]] = []
    total = 0
    if len(bundle.infolist()) > 2 * MAX_FILES:
        raise DatasetInvalid(f"{archive} holds more than {MAX_FILES:,} files: add its folder.")
    for info in bundle.infolist():
        name = PurePosixPath(info.filename.replace("\\", "/"))
        if info.is_dir() or suffix_of(name.name) not in wanted | beside:
            continue
        hidden = any(part.startswith(".") and part != ".." for part in name.parts)
        if hidden or any(part.lower() in IGNORED for part in name.parts):
            continue
        if name.is_absolute() or ".." in name.parts or stat.S_ISLNK(info.external_attr >> 16):
            raise DatasetInvalid(f"{archive} holds {info.filename!r}, which leaves its folder.")
        if info.file_size > MAX_FILE_BYTES:
            raise DatasetInvalid(
                f"{archive}: {info.filename} is larger than {MAX_FILE_BYTES / 1e6:.0f} MB."
            )
        if info.file_size > CHUNK and info.file_size > MAX_RATIO * max(1, info.compress_size):
            raise DatasetInvalid(f"{archive}: {info.filename} is compressed too far for an {noun}.")
        total += info.file_size
        found.append((info, name))
    if not any(suffix_of(name.name) in wanted for _, name in found):
        raise DatasetInvalid(f"{archive} holds no {noun} of a supported format.")
    if len(found) > MAX_FILES or total > MAX_TOTAL_BYTES:
        raise DatasetInvalid(
            f"{archive} holds {len(found):,} files, {total / 1e9:.1f} GB; at most {MAX_FILES:,} "
            f"files and {MAX_TOTAL_BYTES / 1e9:.0f} GB are taken: add the folder by its path."
        )
    return found


def _write(bundle: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, archive: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    left = info.file_size
    with bundle.open(info) as source, path.open("xb") as target:
        while chunk := source.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise DatasetInvalid(f"{archive}: {info.filename} is larger than it says.")
            target.write(chunk)


def _only_folder(root: Path) -> Path:
    """The folder inside which all is, as in a zip of one folder; several stay as they are."""
    entries = list(root.iterdir())
    folders = [entry for entry in entries if entry.is_dir()]
    if len(entries) != 1 or not folders:
        return root
    inside = list(folders[0].iterdir())
    # A single folder of images only is a class, unless it holds class folders or label files.
    keeps = any(entry.is_dir() or entry.suffix.lower() in TEXTS for entry in inside)
    return folders[0] if keeps or not inside else root


def remove_extracted(root: Path) -> bool:
    """Removes the folder of an uploaded dataset; False for a folder of the user."""
    uploads = (settings().home / "uploads" / "datasets").resolve()
    if uploads not in root.resolve().parents:
        return False
    own = next(path for path in (root.resolve(), *root.resolve().parents) if path.parent == uploads)
    shutil.rmtree(own, ignore_errors=True)
    return True
