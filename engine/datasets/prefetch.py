"""Batches of prepared images in order, while threads work ahead on the next ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from engine.preprocess import PreprocessSpec, normalize

BATCHES_AHEAD = 3
Item = TypeVar("Item")


def prepared_ahead(
    items: Sequence[Item],
    pixels: Callable[[Item], np.ndarray],
    spec: PreprocessSpec,
    batch: int,
    threads: int,
) -> Iterator[np.ndarray]:
    """float32 (n, 3, crop, crop) batches of `items`, in order; the last may be short.

    `pixels` gives the uint8 crop of one item; what it raises is raised here, at its batch.
    """
    groups = [items[start : start + batch] for start in range(0, len(items), batch)]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        pending: list[list[Future[np.ndarray]]] = []
        try:
            for group in groups:
                pending.append([pool.submit(pixels, item) for item in group])
                if len(pending) > BATCHES_AHEAD:
                    yield _collect(pending.pop(0), spec)
            while pending:
                yield _collect(pending.pop(0), spec)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _collect(futures: list[Future[np.ndarray]], spec: PreprocessSpec) -> np.ndarray:
    return normalize(np.stack([future.result() for future in futures]), spec)
