"""The cached files under <home>/weights and their recorded digests.

The SHA-256 of a file is recorded next to it at first use, in the format of `sha256sum`, and
verified afterwards, so a file that has changed is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from engine.common.digests import data_digest, file_digest
from engine.common.files import write_text
from engine.errors import CheckpointRejected

NOTE_SUFFIX = ".sha256"
_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A weights file on this machine; `origin` describes its source in readable form.

    `digest` is the SHA-256 of the file; `key` selects one of its sets of weights, None the default.
    """

    path: Path
    origin: str
    digest: str
    key: str | None = None

    @property
    def identity(self) -> str:
        """Digest that identifies the weights: of the file, and of the selected set."""
        return self.digest if self.key is None else data_digest([self.digest, self.key])


def digest_in_name(name: str) -> str | None:
    """The first digits of the SHA-256 at the end of a file name (`name-<hex>.pth`), or None."""
    match = _DIGEST_IN_NAME.search(name)
    return match.group(1) if match else None


def checked_digest(path: Path) -> str:
    """The SHA-256 of a cached file; recorded at first use.

    Raises CheckpointRejected if it differs from the digest in the name or from the record.
    """
    digest = file_digest(path)
    expected = digest_in_name(path.name)
    if expected is not None and not digest.startswith(expected):
        raise CheckpointRejected(
            f"{path} is damaged or another file: its SHA-256 starts with {digest[:8]}, not with "
            f"{expected[:8]} as in its name. Delete it and download it again."
        )
    recorded = recorded_digest(path)
    if recorded is not None and recorded != digest:
        note = note_of(path).name
        raise CheckpointRejected(
            f"{path} has changed since its first use: its SHA-256 was {recorded[:12]} and is now "
            f"{digest[:12]}. Delete it to download it again, or delete {note} to use it as it is."
        )
    if recorded is None:
        record_digest(path, digest)
    return digest


def note_of(path: Path) -> Path:
    """The file that records the digest of a weights file."""
    return path.with_name(path.name + NOTE_SUFFIX)


def recorded_digest(path: Path) -> str | None:
    """The recorded digest of a file; None if it was never used."""
    try:
        words = note_of(path).read_text().split()
    except OSError:
        return None
    return words[0] if words else None


def record_digest(path: Path, digest: str) -> None:
    """Records the digest of a file next to it."""
    write_text(note_of(path), f"{digest}  {path.name}\n")
