"""Decodes images into shared memory: in processes where there are many, in threads where few.

The processes are spawned (a fork would copy the threads' locks of the inference library), write
each square where the parent asked for it and, if there is one, into the cache. The memory is an
anonymous file: when the last process is gone, so is it, however they ended.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.datasets.pixel_cache import PixelCache
from engine.datasets.reader import DatasetIndex
from engine.errors import DatasetInvalid, ImageRejected
from engine.preprocess import PreprocessSpec, crop_pixels, open_image

PROCESSES_FROM_IMAGES = 400
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Bench:
    """Where squares are made: picklable, opened again by every process that works at it."""

    root: Path
    spec: PreprocessSpec
    memory: str
    places: int
    cache: tuple[Path, int] | None


class _Worker:
    """Decodes for one process (or, in threads, for all)."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.squares = _map(bench)
        self.cache = None
        if bench.cache is not None:
            self.cache = PixelCache(*bench.cache, bench.spec.crop)

    def decode(self, work: Sequence[tuple[int, int, str]]) -> bool:
        """Fills places with images (place, image, file); False if the cache's disk is full."""
        kept = True
        for place, image, name in work:
            pixels = crop_pixels(open_image(self.bench.root / name, name), self.bench.spec)
            np.copyto(self.squares[place], pixels.transpose(2, 0, 1))
            if self.cache is not None:
                kept = self._keep(image, place) and kept
        return kept

    def _keep(self, image: int, place: int) -> bool:
        assert self.cache is not None
        try:
            self.cache.write(image, self.squares[place])
        except OSError:
            return False
        return True


def _map(bench: Bench) -> np.ndarray:
    side = bench.spec.crop
    with open(bench.memory, "r+b") as file:
        memory = mmap.mmap(file.fileno(), bench.places * 3 * side * side)
    return np.frombuffer(memory, np.uint8).reshape(bench.places, 3, side, side)


_worker: _Worker | None = None


def _begin(bench: Bench) -> None:
    global _worker
    if sys.platform == "linux":
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: never outlive it
    _worker = _Worker(bench)


def _decode(work: Sequence[tuple[int, int, str]]) -> bool:
    assert _worker is not None
    return _worker.decode(work)


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
        self._memory, path = _anonymous(places * 3 * spec.crop * spec.crop)
        kept = (cache.folder, cache.images) if cache is not None else None
        bench = Bench(index.root, spec, path, places, kept)
        self._own = _Worker(bench)
        self.squares = self._own.squares
        self.cache_is_full = False
        self._pool: Executor
        if images >= PROCESSES_FROM_IMAGES:
            self._pool = ProcessPoolExecutor(
                workers, multiprocessing.get_context("spawn"), _begin, (bench,)
            )
            self._do = _decode
        else:
            self._pool = ThreadPoolExecutor(workers)
            self._do = self._own.decode

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

    def wait(self, futures: list[Future[bool]]) -> None:
        """Until all are filled. Raises DatasetInvalid naming an image that no longer can be."""
        for future in futures:
            try:
                self.cache_is_full |= not future.result()
            except ImageRejected as error:
                raise DatasetInvalid(
                    f"{self._index.name!r} cannot be read any more: {error} If the folder has "
                    f"changed, register it again with `dataset add`."
                ) from error
            except BrokenProcessPool as error:
                raise DatasetInvalid(
                    f"A process that decodes images of {self._index.name!r} died, most likely for "
                    f"lack of memory; retry with fewer threads (SENET_THREADS)."
                ) from error

    def fill_cached(self, place: int, image: int) -> None:
        """Takes a square from the cache, or decodes it where the cache turns out to be wrong."""
        assert self._cache is not None
        if not self._cache.read(image, self.squares[place]):
            self._own.decode([(place, image, self._index.files[image])])

    def close(self) -> None:
        """Ends the processes; nothing that waits is begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        os.close(self._memory)


def _anonymous(size: int) -> tuple[int, str]:
    """A file without a name, and the path by which a child can open it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("prepared-images")
        path = f"/proc/{os.getpid()}/fd/{descriptor}"
    else:
        descriptor, path = tempfile.mkstemp(prefix="prepared-images-")
    os.ftruncate(descriptor, size)
    return descriptor, path
