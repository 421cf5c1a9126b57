"""SHA-256 of files and of plain data, the identity of everything the workbench makes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def data_digest(data: Any) -> str:
    """SHA-256 of JSON-like data, in hex; keys sorted, so that order does not matter."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def images_digest(image: np.ndarray) -> str:
    """Identity of a set of images within its dataset."""
    return data_digest(image.astype("int64").tolist())
