"""Decoding, normalization and inference in parallel on all cores, with results in order.

Each batch is computed by one thread, several batches at a time. This keeps all cores busy without
synchronization between threads, and makes results independent of the number of threads.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from engine.datasets.decoding import Decoders
from engine.datasets.pixel_cache import image_bytes
from engine.datasets.reader import DatasetIndex
from engine.datasets.squares import PixelCache
from engine.preprocess import PreprocessSpec, normalize_planar

MAX_IN_FLIGHT = 4
PREFETCHED_BATCHES = 4
MAX_SHARED_BYTES = 400_000_000

Infer = Callable[[np.ndarray], np.ndarray]
Score = Callable[[np.ndarray, np.ndarray], object]


def in_flight(threads: int) -> int:
    """Number of batches that are computed at once; they share the threads."""
    return max(1, min(threads, MAX_IN_FLIGHT))


def threads_each(threads: int) -> int:
    """Number of threads that compute one batch."""
    return max(1, threads // in_flight(threads))


class Pipeline:
    """Runs batches of images of a dataset through a model."""

    def __init__(
        self,
        index: DatasetIndex,
        spec: PreprocessSpec,
        cache: PixelCache | None,
        threads: int,
        batch: int,
        images: np.ndarray,
    ) -> None:
        """`images`: indices of all images that will be requested; cached ones need no decoding."""
        self._spec, self._cache, self._batch = spec, cache, batch
        self._parallel = in_flight(threads)
        prefetched = min(PREFETCHED_BATCHES, MAX_SHARED_BYTES // (batch * image_bytes(spec)))
        slots = self._parallel + max(1, prefetched)
        missing = len(images) - int(cache.is_cached(images).sum() if cache is not None else 0)
        self._decoders = Decoders(index, spec, slots * batch, cache, threads, missing)
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(slots):
            self._free.put(slot * batch)
        self._pool = ThreadPoolExecutor(self._parallel)

    @property
    def cache_is_full(self) -> bool:
        """Whether the disk was full, so that not all decoded images were cached."""
        return self._decoders.cache_is_full

    def run(self, batches: Sequence[np.ndarray], infer: Infer, score: Score) -> Iterator[object]:
        """Yields `score(infer(inputs), images)` for every batch of image indices, in order."""
        pending: deque[Future[object]] = deque()
        for images in batches:
            slot = self._free.get()
            uncached = np.ones(len(images), bool)
            if self._cache is not None:
                uncached = ~self._cache.is_cached(images)
            filling = self._decoders.start(slot, images, uncached)
            pending.append(
                self._pool.submit(self._run_batch, slot, images, uncached, filling, infer, score)
            )
            while pending and (len(pending) > self._parallel or pending[0].done()):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _run_batch(
        self,
        slot: int,
        images: np.ndarray,
        uncached: np.ndarray,
        filling: list[Future[bool]],
        infer: Infer,
        score: Score,
    ) -> object:
        try:
            self._decoders.wait(filling)
            for offset in np.flatnonzero(~uncached):
                self._decoders.load_cached(slot + int(offset), int(images[offset]))
            inputs = normalize_planar(self._decoders.slots[slot : slot + len(images)], self._spec)
        finally:
            self._free.put(slot)
        return score(infer(inputs), images)

    def close(self) -> None:
        """Ends the threads and the decoding processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._decoders.close()
