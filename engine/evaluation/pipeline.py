"""Decoding, normalizing and inference at once, every core busy, results in order.

Each batch is computed by one thread, several batches at a time: that keeps all cores busy without
any waiting on each other, and makes a result independent of how many threads there are.
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
BATCHES_AHEAD = 4
MAX_SHARED_BYTES = 400_000_000

Infer = Callable[[np.ndarray], np.ndarray]
Judge = Callable[[np.ndarray, np.ndarray], object]


def in_flight(threads: int) -> int:
    """How many batches are computed at once; the threads are shared among them."""
    return max(1, min(threads, MAX_IN_FLIGHT))


def threads_each(threads: int) -> int:
    """Threads that compute one batch."""
    return max(1, threads // in_flight(threads))


class Pipeline:
    """Runs batches of a dataset's images through a model."""

    def __init__(
        self,
        index: DatasetIndex,
        spec: PreprocessSpec,
        cache: PixelCache | None,
        threads: int,
        batch: int,
        images: np.ndarray,
    ) -> None:
        """`images` are all that will be asked for: those in the cache need no decoding."""
        self._spec, self._cache, self._batch = spec, cache, batch
        self._parallel = in_flight(threads)
        ahead = min(BATCHES_AHEAD, MAX_SHARED_BYTES // (batch * image_bytes(spec)))
        slots = self._parallel + max(1, ahead)
        missing = len(images) - int(cache.is_cached(images).sum() if cache is not None else 0)
        self._decoders = Decoders(index, spec, slots * batch, cache, threads, missing)
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(slots):
            self._free.put(slot * batch)
        self._pool = ThreadPoolExecutor(self._parallel)

    @property
    def cache_is_full(self) -> bool:
        """Whether the disk had no room for what was to be kept."""
        return self._decoders.cache_is_full

    def run(self, batches: Sequence[np.ndarray], infer: Infer, judge: Judge) -> Iterator[object]:
        """`judge(infer(inputs), images)` of every batch of image indices, in order."""
        pending: deque[Future[object]] = deque()
        for images in batches:
            place = self._free.get()
            wanted = np.ones(len(images), bool)
            if self._cache is not None:
                wanted = ~self._cache.is_cached(images)
            filling = self._decoders.start(place, images, wanted)
            pending.append(
                self._pool.submit(self._one, place, images, wanted, filling, infer, judge)
            )
            while pending and (len(pending) > self._parallel or pending[0].done()):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _one(
        self,
        place: int,
        images: np.ndarray,
        wanted: np.ndarray,
        filling: list[Future[bool]],
        infer: Infer,
        judge: Judge,
    ) -> object:
        try:
            self._decoders.wait(filling)
            for offset in np.flatnonzero(~wanted):
                self._decoders.load_cached(place + int(offset), int(images[offset]))
            inputs = normalize_planar(self._decoders.slots[place : place + len(images)], self._spec)
        finally:
            self._free.put(place)
        return judge(infer(inputs), images)

    def close(self) -> None:
        """Ends threads and processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._decoders.close()
