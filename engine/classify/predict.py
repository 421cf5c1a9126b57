"""Top-5 of single images, with the time each step took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from db.models import Artifact
from engine.build.int8.saturation import overflow_here
from engine.common.scores import drop_background, softmax, top_k
from engine.config import settings
from engine.datasets import imagenet
from engine.preprocess import crop_pixels, normalize, open_image
from engine.specs import CPU_PROVIDER
from engine.store import artifacts
from engine.store.manifest import ExportManifest

TOP = 5


@dataclass(frozen=True, slots=True)
class Guess:
    """One of the five: class index, its name, its probability."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Classified:
    """The five best guesses, the pixels the network saw (uint8 RGB), and milliseconds a step."""

    guesses: tuple[Guess, ...]
    crop: np.ndarray
    decode_ms: float
    prepare_ms: float
    infer_ms: float


class Classifier:
    """An artifact, loaded once; safe to use from several threads."""

    def __init__(self, artifact: Artifact, provider: str = CPU_PROVIDER) -> None:
        # Pages use the results above; the runtime is loaded only where it runs.
        from engine.runtimes.onnx_runtime import OnnxRuntime

        self.artifact = artifact
        self.preprocess = artifacts.preprocess_of(artifact)
        self._manifest = ExportManifest.from_artifact(artifact)
        path = artifacts.model_path(artifact.digest)
        exact = overflow_here(artifact) is not None
        self._model = OnnxRuntime(path, provider, settings().threads, exact)
        self._names = class_names_of(artifact)

    def classify(self, source: Path | bytes | BinaryIO, name: str | None = None) -> Classified:
        """Decodes, prepares, runs. Raises ImageRejected naming the image and what is wrong."""
        started = time.perf_counter()
        image = open_image(source, name)
        decoded = time.perf_counter()
        crop = crop_pixels(image, self.preprocess)
        batch = normalize(crop, self.preprocess)[None]
        prepared = time.perf_counter()
        outputs = self._model.run(batch)
        inferred = time.perf_counter()
        return Classified(
            self._guesses(outputs),
            crop,
            decode_ms=(decoded - started) * 1e3,
            prepare_ms=(prepared - decoded) * 1e3,
            infer_ms=(inferred - prepared) * 1e3,
        )

    def _guesses(self, outputs: np.ndarray) -> tuple[Guess, ...]:
        scores = drop_background(outputs, self._manifest.background)
        probabilities = (scores if self._manifest.gives_probabilities else softmax(scores))[0]
        return tuple(
            Guess(int(i), self._names[i], float(probabilities[i])) for i in top_k(scores, TOP)[0]
        )


def class_names_of(artifact: Artifact) -> tuple[str, ...]:
    """Names of a model's classes by index: the demo's, ImageNet's 1,000, else plain numbers."""
    classes = ExportManifest.from_artifact(artifact).class_outputs
    if artifact.model_id.startswith("demo/"):
        from engine.demo.images import CLASS_NAMES

        return tuple(CLASS_NAMES)
    if classes == len(imagenet.class_names()):
        return imagenet.class_names()
    return tuple(f"class {index}" for index in range(classes))
