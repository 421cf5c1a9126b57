"""Images of one dataset as an export wants them, and what a model says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from onnx import ModelProto

from db.models import Artifact
from engine.build.int8.sessions import session_of
from engine.common.scores import drop_background
from engine.config import settings
from engine.datasets.reader import DatasetIndex, read_batches
from engine.onnx import graph_io
from engine.store import artifacts
from engine.store.manifest import ExportManifest

BATCH = 16


class PreparedImages:
    """Prepared images of one dataset; `which` are positions in its index."""

    def __init__(self, index: DatasetIndex, export: Artifact) -> None:
        self.index = index
        self.preprocess = artifacts.preprocess_of(export)
        self.background = ExportManifest.from_artifact(export).background

    def batches(self, which: np.ndarray) -> Iterator[np.ndarray]:
        """float32 (n, 3, crop, crop), n at most BATCH."""
        return read_batches(self.index, which, self.preprocess, BATCH, settings().threads)

    def one_by_one(self, which: np.ndarray) -> Iterator[np.ndarray]:
        """float32 (1, 3, crop, crop)."""
        return read_batches(self.index, which, self.preprocess, 1, settings().threads)

    def all(self, which: np.ndarray) -> np.ndarray:
        """float32 (n, 3, crop, crop)."""
        return np.concatenate(list(self.batches(which)))

    def scores(
        self,
        model: ModelProto,
        which: np.ndarray,
        threads: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """float32 (n, classes), without a background class; `progress` gets (done, total)."""
        session = session_of(model, threads)
        found: list[np.ndarray] = []
        done = 0
        for batch in self.batches(which):
            found.append(
                drop_background(session.run(None, {graph_io.INPUT: batch})[0], self.background)
            )
            done += len(batch)
            if progress is not None:
                progress(done, len(which))
        return np.concatenate(found)
