"""Downloads a file: resumes a partial download, verifies the digest, renames when complete."""

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
from engine.store.shared import fetch, publish_result
from engine.weights.cache import digest_in_name

Progress = Callable[[int, int], None]
CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30


def download(url: str, target: Path, progress: Progress) -> Path:
    """Downloads `url` to `target`, unless it exists; returns `target`.

    A partial download is resumed. A digest in the file name (`name-<hex>.pth`, the first digits of
    the SHA-256) is verified. Raises WeightsUnavailable with the URL and the path for a manual
    download.
    """
    if target.is_file():
        return target
    lock = settings().folder("cache") / f"download-{data_digest(str(target))[:16]}.lock"
    # Two jobs may need the same file: the second waits and finds it downloaded.
    with FileLock(lock, mode=PRIVATE_FILE):
        if fetch(target):  # from the shared store, where another machine has downloaded it
            return target
        _download(url, target, progress)
        publish_result(target)
        return target


def _download(url: str, target: Path, progress: Progress) -> Path:
    if settings().offline:
        raise WeightsUnavailable(manual_download_hint("SENET_OFFLINE is set", url, target))
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with disk_full_as_error(part.parent):
            _fetch(url, part, progress)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsUnavailable(manual_download_hint(str(reason), url, target)) from error
    _check_digest(url, part)
    part.rename(target)
    return target


def manual_download_hint(reason: str, url: str, target: Path) -> str:
    """The message on a failed download, with the way to provide the file manually."""
    return (
        f"{url} could not be downloaded ({reason}). Download it on a machine with network access, "
        f"and copy it to {target}."
    )


def _fetch(url: str, part: Path, progress: Progress) -> None:
    n_present = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url)  # noqa: S310 (https URLs of the catalog)
    if n_present:
        request.add_header("Range", f"bytes={n_present}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == 416 and n_present:
            # The partial file does not belong to this URL: start over.
            part.unlink()
            return _fetch(url, part, progress)
        raise
    with response:
        resumed = response.status == 206
        done = n_present if resumed else 0
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
            f"The download of {url} is damaged: its SHA-256 starts with {actual[:8]}, not with "
            f"{expected[:8]} as in its name. Retry the job to download it again."
        )
