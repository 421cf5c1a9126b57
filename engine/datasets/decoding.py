"""Decodes images into shared memory: in processes if there are many images, else in threads.

The memory is an anonymous file that the processes inherit, so it is freed when the last of them
ends, even after a crash.
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
from engine.datasets.squares import ImageDecoder, PixelCache, Work
from engine.errors import DatasetInvalid, ImageRejected
from engine.preprocess import PreprocessSpec

PROCESSES_FROM_IMAGES = 400
CHUNK_IMAGES = 8


class Decoders:
    """Shared memory of `slots` decoded images, and the threads or processes that fill it."""

    def __init__(
        self,
        index: DatasetIndex,
        spec: PreprocessSpec,
        slots: int,
        cache: PixelCache | None,
        workers: int,
        images: int,
    ) -> None:
        """`images` is the total number to decode; it decides between processes and threads."""
        self._index, self._cache = index, cache
        self._memory = _anonymous_file(slots * 3 * spec.crop * spec.crop)
        self._local = ImageDecoder(index.root, spec, self._memory, cache)
        self.slots = self._local.slots
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

    def start(self, first_slot: int, images: np.ndarray, wanted: np.ndarray) -> list[Future[bool]]:
        """Starts to decode those of `images` that are `wanted`; images[i] goes to first_slot + i.

        `images` are indices in the dataset, `wanted` booleans of the same length.
        """
        work = [
            (first_slot + offset, int(images[offset]), self._index.files[int(images[offset])])
            for offset in np.flatnonzero(wanted).tolist()
        ]
        return [
            self._pool.submit(self._decode, work[start : start + CHUNK_IMAGES])
            for start in range(0, len(work), CHUNK_IMAGES)
        ]

    def _decode(self, work: Work) -> bool:
        if not self._children:
            return self._local.decode(work)
        child = self._idle.get()
        try:
            return child.decode(work)
        finally:
            self._idle.put(child)

    def wait(self, futures: list[Future[bool]]) -> None:
        """Waits for the results of `start`. Raises DatasetInvalid naming an unreadable image."""
        for future in futures:
            try:
                self.cache_is_full |= not future.result()
            except ImageRejected as error:
                raise DatasetInvalid(
                    f"An image of dataset {self._index.name!r} cannot be preprocessed: {error} If "
                    f"the folder has changed, register it again with `dataset add`."
                ) from error

    def load_cached(self, slot: int, image: int) -> None:
        """Reads an image from the cache into a slot; decodes it if the cache entry is damaged."""
        assert self._cache is not None
        if not self._cache.read(image, self.slots[slot]):
            self._local.decode([(slot, image, self._index.files[image])])

    def close(self) -> None:
        """Ends the processes and cancels pending work."""
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
        config = {
            "root": str(root),
            "spec": spec.to_dict(),
            "memory": memory,
            "cache": None if cache is None else [str(cache.folder), cache.images],
        }
        self._send(config)

    def decode(self, work: Work) -> bool:
        """Filler.decode in the child process."""
        try:
            self._send(work)
            assert self._process.stdout is not None
            answer = json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise DatasetInvalid(
                "A process that decodes images ended, most likely because memory ran out; retry "
                "with fewer threads (SENET_THREADS)."
            ) from error
        if "rejected" in answer:
            raise ImageRejected(answer["rejected"])
        return bool(answer["cached"])

    def _send(self, data: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(data).encode() + b"\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """Kills the process; a cache entry that it was writing stays invalid."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue


def _anonymous_file(size: int) -> int:
    """The descriptor of an unnamed file; in memory if the system supports it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("prepared-images")
    else:
        descriptor, path = tempfile.mkstemp(prefix="prepared-images-")
        os.unlink(path)
    os.ftruncate(descriptor, size)
    return descriptor
