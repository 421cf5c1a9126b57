"""Calibration images of one dataset, preprocessed for an export, and model scores on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from onnx import ModelProto

from db.models import Artifact
from engine.common.scores import drop_background
from engine.config import settings
from engine.datasets.reader import DatasetIndex, read_batches
from engine.onnx import graph_io
from engine.runtimes.observing import session_of
from engine.store import artifacts
from engine.store.manifest import ExportManifest

BATCH = 16


class CalibrationImages:
    """Preprocessed images of one dataset; `indices` are positions in its index."""

    def __init__(self, index: DatasetIndex, export: Artifact) -> None:
        self.index = index
        self.preprocess = artifacts.preprocess_of(export)
        self.background = ExportManifest.from_artifact(export).background

    def batches(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Batches of float32 (n, 3, crop, crop), n at most BATCH."""
        return read_batches(self.index, indices, self.preprocess, BATCH, settings().threads)

    def load(self, indices: np.ndarray) -> np.ndarray:
        """All images in one array, float32 (n, 3, crop, crop)."""
        return np.concatenate(list(self.batches(indices)))

    def predict(
        self,
        model: ModelProto,
        indices: np.ndarray,
        threads: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Scores, float32 (n, classes), no background class; `progress` takes (done, total)."""
        done, scores = 0, []
        for part in self._scores(model, self.batches(indices), threads):
            scores.append(part)
            done += len(part)
            if progress is not None:
                progress(done, len(indices))
        return np.concatenate(scores)

    def predict_loaded(self, model: ModelProto, images: np.ndarray, threads: int) -> np.ndarray:
        """Scores of images (n, 3, h, w) in memory, as `predict`."""
        parts = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        return np.concatenate(list(self._scores(model, parts, threads)))

    def _scores(
        self, model: ModelProto, batches: Iterable[np.ndarray], threads: int
    ) -> Iterator[np.ndarray]:
        session = session_of(model, threads, spinning=False)
        for batch in batches:
            scores = session.run(None, {graph_io.INPUT: batch})[0]
            yield drop_background(scores, self.background)
