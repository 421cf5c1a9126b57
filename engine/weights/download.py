"""Downloads one file: resumed where it was cut, checked by digest, and renamed when whole."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock

from engine.common.digests import data_digest, file_digest
from engine.common.files import disk_full_as_error
from engine.config import PRIVATE_FILE, settings
from engine.errors import WeightsUnavailable
from engine.weights.cache import digest_in_name

Progress = Callable[[int, int], None]
CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30


def download(url: str, target: Path, progress: Progress) -> Path:
    """The file at `target`, fetched from `url` unless it is already there.

    A part already fetched is resumed. A digest in the file's name (`name-<hex>.pth`, the first
    digits of its SHA-256) is checked. Raises WeightsUnavailable, naming the URL and the place to
    put the file by hand.
    """
    if target.is_file():
        return target
    lock = settings().folder("cache") / f"download-{data_digest(str(target))[:16]}.lock"
    # Two jobs may want the same file: the second finds what the first has fetched.
    with FileLock(lock, mode=PRIVATE_FILE):
        return target if target.is_file() else _download(url, target, progress)


def _download(url: str, target: Path, progress: Progress) -> Path:
    if settings().offline:
        raise WeightsUnavailable(by_hand("SENET_OFFLINE is set", url, target))
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with disk_full_as_error(part.parent):
            _fetch(url, part, progress)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsUnavailable(by_hand(str(reason), url, target)) from error
    _check_digest(url, part)
    part.rename(target)
    return target


def by_hand(reason: str, url: str, target: Path) -> str:
    """The sentence that tells how to do without the network."""
    return (
        f"{url} could not be downloaded ({reason}). Fetch it on a machine that can, and put it "
        f"at {target}."
    )


def _fetch(url: str, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url)  # noqa: S310 (https URLs of the catalog)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            # The part does not belong to this file: start over.
            part.unlink()
            return _fetch(url, part, progress)
        raise
    with response:
        resumed = response.status == 206
        done = have if resumed else 0
        total = done + int(response.headers.get("Content-Length") or 0)
        with part.open("ab" if resumed else "wb") as stream:
            while chunk := response.read(CHUNK_BYTES):
                stream.write(chunk)
                done += len(chunk)
                progress(done, max(total, done))
    if done < total:
        raise HTTPException(f"the connection was cut after {done:,} of {total:,} bytes")
    return None


def _check_digest(url: str, part: Path) -> None:
    expected = digest_in_name(url)
    if expected is None:
        return
    actual = file_digest(part)
    if not actual.startswith(expected):
        part.unlink()
        raise WeightsUnavailable(
            f"{url} arrived damaged: its SHA-256 begins with {actual[:8]}, its name says "
            f"{expected[:8]}. Retry the job to fetch it again."
        )
