"""Prefetching: batches of preprocessed images in order, while threads prepare the next ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from engine.preprocess import PreprocessSpec, normalize

PREFETCHED_BATCHES = 3
Item = TypeVar("Item")


def prefetch_batches(
    items: Sequence[Item],
    pixels: Callable[[Item], np.ndarray],
    spec: PreprocessSpec,
    batch: int,
    threads: int,
) -> Iterator[np.ndarray]:
    """Yields batches float32 (n, 3, crop, crop) of `items`, in order; the last may be smaller.

    `pixels` returns the uint8 crop of one item; its exceptions are raised here, at its batch.
    """
    groups = [items[start : start + batch] for start in range(0, len(items), batch)]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        pending: list[list[Future[np.ndarray]]] = []
        try:
            for group in groups:
                pending.append([pool.submit(pixels, item) for item in group])
                if len(pending) > PREFETCHED_BATCHES:
                    yield _collect(pending.pop(0), spec)
            while pending:
                yield _collect(pending.pop(0), spec)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _collect(futures: list[Future[np.ndarray]], spec: PreprocessSpec) -> np.ndarray:
    return normalize(np.stack([future.result() for future in futures]), spec)
