"""Where the images of a registered dataset are on this machine, by the digest of the dataset.

The recorded folder is that of the machine that registered it. Elsewhere the folder is looked for in
SENET_DATA_ROOTS; with a shared store, a built-in dataset is generated. What is found has every
file with its recorded content, which is verified once on each machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from db.models import Dataset
from engine.common.digests import file_digest
from engine.common.files import write_text
from engine.config import PRIVATE_FILE, settings
from engine.specs.datasets import BUILTIN_DATASETS
from engine.store.objects import shared_store
from engine.store.shared import fetch, report

MAX_DEPTH = 3


def index_path(digest: str) -> Path:
    """The file with the image files and labels of a dataset."""
    return settings().folder("datasets") / f"{digest}.json"


def find_folder(dataset: Dataset) -> Path | None:
    """The folder of the images of a dataset on this machine; None where there is none.

    With a shared store the recorded folder may be of another machine: it is verified, too.
    """
    recorded = settings().home / dataset.root
    if shared_store() is None and recorded.is_dir():
        return recorded
    known = _known(dataset.digest)
    if known is not None:
        return known
    if not fetch(index_path(dataset.digest)):
        return recorded if recorded.is_dir() and shared_store() is None else None
    index = json.loads(index_path(dataset.digest).read_text())
    with FileLock(_note(dataset.digest).with_suffix(".lock"), mode=PRIVATE_FILE):
        known = _known(dataset.digest)  # verified meanwhile by another process
        return known or _search(dataset, index, recorded)


def remember(digest: str, folder: Path) -> None:
    """Notes that a folder of this machine has the images of a dataset."""
    if shared_store() is not None:
        write_text(_note(digest), json.dumps({"root": str(folder)}))


def _search(dataset: Dataset, index: dict[str, Any], recorded: Path) -> Path | None:
    for folder in dict.fromkeys((recorded, *_candidates(dataset, index))):
        if not folder.is_dir():
            continue
        report(f"Verifying the {len(index['files']):,} images of {dataset.name} in {folder}.")
        if digest_matches(folder, index, dataset.digest):
            write_text(_note(dataset.digest), json.dumps({"root": str(folder)}))
            return folder
        report(f"{folder} does not have the images of dataset {dataset.name}.")
    shared = shared_store() is not None
    if shared and dataset.name in BUILTIN_DATASETS and not recorded.exists():
        from engine.demo import images

        images.write_split(images.BUILTIN[dataset.name], recorded, lambda done, total: None)
        return _search(dataset, index, recorded)
    return None


def _candidates(dataset: Dataset, index: dict[str, Any]) -> Iterator[Path]:
    """Folders of SENET_DATA_ROOTS that have the first and the last file of the dataset."""
    ends = (index["files"][0], index["files"][-1])
    for root in settings().data_root_folders:
        for folder in _folders(root, MAX_DEPTH):
            if all((folder / name).is_file() for name in ends):
                yield folder


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """A folder and those below it, the nearest first."""
    level = [root]
    for _ in range(depth + 1):
        yield from level
        below: list[Path] = []
        for folder in level:
            with suppress(OSError):
                below += sorted(path for path in folder.iterdir() if path.is_dir())
        level = below


def digest_matches(folder: Path, index: dict[str, Any], digest: str) -> bool:
    """Whether the files of an index have, in a folder, the content of a dataset's digest."""

    def of(name: str) -> str:
        try:
            return file_digest(folder / name)
        except OSError:
            return ""

    with ThreadPoolExecutor(settings().threads) as pool:
        contents = list(pool.map(of, index["files"]))
    lines = [
        f"{name}\0{content}\0{label}\n"
        for name, content, label in zip(index["files"], contents, index["labels"], strict=True)
    ]
    classes = [index.get("class_source"), index["classes"], index.get("present")]
    # The classes are in the digest where they do not follow from files and labels.
    return digest in (dataset_digest(lines), dataset_digest([*lines, class_line(classes)]))


def dataset_digest(lines: list[str]) -> str:
    """The digest of a dataset, of a line for each image and those for its classes."""
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def class_line(classes: list[Any]) -> str:
    """The line of the digest for [source, names, present] of the classes."""
    return f"\0classes\0{json.dumps(classes)}\n"


def _known(digest: str) -> Path | None:
    """The folder that was verified on this machine before, if it is still there."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        folder = Path(json.loads(_note(digest).read_text())["root"])
        return folder if folder.is_dir() else None
    return None


def _note(digest: str) -> Path:
    return settings().folder("cache/datasets") / f"{digest}.json"
