"""The files under <home>/weights: where each belongs, its recorded digest, what is there.

A file's SHA-256 is recorded beside it when it is first used, in the form of `sha256sum`, and
checked from then on: a cached file that changes is noticed, not used.
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
    """A file of weights on this machine; `origin` is where it came from, for people.

    `digest` is that of the file; `key` names one of several sets in it, None the usual one.
    """

    path: Path
    origin: str
    digest: str
    key: str | None = None

    @property
    def identity(self) -> str:
        """What tells these weights from all others: the file's digest, and the set in it."""
        return self.digest if self.key is None else data_digest([self.digest, self.key])


def digest_in_name(name: str) -> str | None:
    """The first digits of a SHA-256 that a file's name ends with (`name-<hex>.pth`), if it does."""
    found = _DIGEST_IN_NAME.search(name)
    return found.group(1) if found else None


def checked_digest(path: Path) -> str:
    """SHA-256 of a cached file, recorded at first sight.

    Raises CheckpointRejected where it is not what its name or its record says.
    """
    digest = file_digest(path)
    named = digest_in_name(path.name)
    if named is not None and not digest.startswith(named):
        raise CheckpointRejected(
            f"{path} is damaged or another file: its SHA-256 begins with {digest[:8]}, its name "
            f"says {named[:8]}. Delete it and fetch it again."
        )
    recorded = recorded_digest(path)
    if recorded is not None and recorded != digest:
        note = note_of(path).name
        raise CheckpointRejected(
            f"{path} has changed since it was first used: its SHA-256 was {recorded[:12]}, it "
            f"is {digest[:12]} now. Delete it to fetch it again, or delete {note} to use it as it "
            f"is."
        )
    if recorded is None:
        record_digest(path, digest)
    return digest


def note_of(path: Path) -> Path:
    """Where the digest of a file is recorded."""
    return path.with_name(path.name + NOTE_SUFFIX)


def recorded_digest(path: Path) -> str | None:
    """The digest that was recorded for a file, None where it was never used."""
    try:
        words = note_of(path).read_text().split()
    except OSError:
        return None
    return words[0] if words else None


def record_digest(path: Path, digest: str) -> None:
    """Writes the digest of a file beside it, whole or not at all."""
    write_text(note_of(path), f"{digest}  {path.name}\n")
