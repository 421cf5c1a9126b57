"""Top-5 classification of single images, with the time of each step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from db.models import Artifact
from engine.build.int8.saturation import overflow_warning
from engine.build.lookup import compiled_models, file_for
from engine.classify.class_names import class_names_of
from engine.common.scores import drop_background, softmax, top_k
from engine.config import settings
from engine.preprocess import crop_pixels, normalize, open_image
from engine.runtimes import registry
from engine.runtimes.base import LoadOptions
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME
from engine.store import artifacts
from engine.store.manifest import ExportManifest

TOP = 5


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class of the top-5: index, name, probability (0 to 1)."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Classification:
    """Top-5, model input (`crop`: height x width x 3, uint8 RGB), and milliseconds per step."""

    predictions: tuple[Prediction, ...]
    crop: np.ndarray
    decode_ms: float
    prepare_ms: float
    infer_ms: float


class Classifier:
    """A loaded build; can be used from several threads."""

    def __init__(
        self,
        artifact: Artifact,
        provider: str = CPU_PROVIDER,
        runtime: str = DEFAULT_RUNTIME,
    ) -> None:
        self.artifact = artifact
        self.preprocess = artifacts.preprocess_of(artifact)
        self._manifest = ExportManifest.from_artifact(artifact)
        exact = overflow_warning(artifact) is not None
        self._model = registry.load(
            runtime,
            file_for(runtime, artifact, settings().url),
            artifact.precision,
            provider,
            LoadOptions(settings().threads, exact_sums=exact, cache=compiled_models()),
        )
        self._names = class_names_of(artifact)

    def classify(self, source: Path | bytes | BinaryIO, name: str | None = None) -> Classification:
        """Decodes and preprocesses an image and runs the build.

        Raises ImageRejected with the name of the image and the reason.
        """
        started = time.perf_counter()
        image = open_image(source, name)
        decoded = time.perf_counter()
        crop = crop_pixels(image, self.preprocess)
        batch = normalize(crop, self.preprocess)[None]
        prepared = time.perf_counter()
        outputs = self._model.run(batch)
        inferred = time.perf_counter()
        return Classification(
            self._top_predictions(outputs),
            crop,
            decode_ms=(decoded - started) * 1e3,
            prepare_ms=(prepared - decoded) * 1e3,
            infer_ms=(inferred - prepared) * 1e3,
        )

    def _top_predictions(self, outputs: np.ndarray) -> tuple[Prediction, ...]:
        scores = drop_background(outputs, self._manifest.background)
        probabilities = (scores if self._manifest.gives_probabilities else softmax(scores))[0]
        return tuple(
            Prediction(int(i), self._names[i], float(probabilities[i]))
            for i in top_k(scores, TOP)[0]
        )
