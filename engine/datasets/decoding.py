"""Decodes images into shared memory: in processes where there are many, in threads where few.

The memory is an anonymous file, inherited by the processes: when the last of them is gone, so is
it, however they ended.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from engine.config import child_command, child_environment
from engine.datasets.reader import DatasetIndex
from engine.datasets.squares import Filler, PixelCache, Work
from engine.errors import DatasetInvalid, ImageRejected
from engine.preprocess import PreprocessSpec

PROCESSES_FROM_IMAGES = 400
AT_ONCE = 8


class Decoders:
    """`places` squares of shared memory, and those who fill them."""

    def __init__(
        self,
        index: DatasetIndex,
        spec: PreprocessSpec,
        places: int,
        cache: PixelCache | None,
        workers: int,
        images: int,
    ) -> None:
        """`images` are to be decoded in all: that decides between processes and threads."""
        self._index, self._cache = index, cache
        self._memory = _anonymous_file(places * 3 * spec.crop * spec.crop)
        self._own = Filler(index.root, spec, self._memory, cache)
        self.squares = self._own.squares
        self.cache_is_full = False
        self._pool = ThreadPoolExecutor(max(1, workers))
        self._children: list[_Child] = []
        self._idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        if images >= PROCESSES_FROM_IMAGES:
            self._children = [
                _Child(index.root, spec, self._memory, cache) for _ in range(max(1, workers))
            ]
        for child in self._children:
            self._idle.put(child)

    def fill(self, first_place: int, images: np.ndarray, wanted: np.ndarray) -> list[Future[bool]]:
        """Starts to decode those of `images` that are `wanted`, to first_place and after."""
        work = [
            (first_place + offset, int(images[offset]), self._index.files[int(images[offset])])
            for offset in np.flatnonzero(wanted).tolist()
        ]
        return [
            self._pool.submit(self._do, work[start : start + AT_ONCE])
            for start in range(0, len(work), AT_ONCE)
        ]

    def _do(self, work: Work) -> bool:
        if not self._children:
            return self._own.fill(work)
        child = self._idle.get()
        try:
            return child.fill(work)
        finally:
            self._idle.put(child)

    def wait(self, futures: list[Future[bool]]) -> None:
        """Until all are filled. Raises DatasetInvalid naming an image that no longer can be."""
        for future in futures:
            try:
                self.cache_is_full |= not future.result()
            except ImageRejected as error:
                raise DatasetInvalid(
                    f"An image of dataset {self._index.name!r} cannot be prepared: {error} If the "
                    f"folder has changed, register it again with `dataset add`."
                ) from error

    def fill_cached(self, place: int, image: int) -> None:
        """Takes a square from the cache, or decodes it where the cache turns out to be wrong."""
        assert self._cache is not None
        if not self._cache.read(image, self.squares[place]):
            self._own.fill([(place, image, self._index.files[image])])

    def close(self) -> None:
        """Ends the processes; what waits is not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.close()
        self._pool.shutdown(wait=True)
        os.close(self._memory)


class _Child:
    """One decoding process."""

    def __init__(
        self, root: Path, spec: PreprocessSpec, memory: int, cache: PixelCache | None
    ) -> None:
        self._process = subprocess.Popen(
            child_command("engine.datasets.decode_worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(memory,),
            env=child_environment(),
        )
        begin = {
            "root": str(root),
            "spec": spec.to_dict(),
            "memory": memory,
            "cache": None if cache is None else [str(cache.folder), cache.images],
        }
        self._send(begin)

    def fill(self, work: Work) -> bool:
        """As Filler.fill, over there."""
        try:
            self._send(work)
            assert self._process.stdout is not None
            answer = json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise DatasetInvalid(
                "A process that decodes images died, most likely for lack of memory; retry with "
                "fewer threads (SENET_THREADS)."
            ) from error
        if "rejected" in answer:
            raise ImageRejected(answer["rejected"])
        return bool(answer["kept"])

    def _send(self, data: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(data).encode() + b"\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """Ends the process at once; a square that it was writing is not kept."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue


def _anonymous_file(size: int) -> int:
    """The descriptor of a file without a name, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("prepared-images")
    else:
        descriptor, path = tempfile.mkstemp(prefix="prepared-images-")
        os.unlink(path)
    os.ftruncate(descriptor, size)
    return descriptor
