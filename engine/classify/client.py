"""Classification in a warm child process, so that the process of the pages loads no runtime.

All threads of a process share one child; it starts with the first image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.classify.predict import Classification, Prediction
from engine.excitations.per_image import Block
from engine.jobs.messages import unpack_arrays
from engine.jobs.warm_child import WarmChild
from engine.specs import DEFAULT_RUNTIME

TIMEOUT_S = 60.0
child = WarmChild("engine.classify.worker:HANDLERS", "classification")
_others: dict[str, WarmChild] = {}


def _child_of(runtime: str) -> WarmChild:
    """The child of a runtime: two runtimes in one process would take each other's threads."""
    if runtime == DEFAULT_RUNTIME:
        return child
    if runtime not in _others:
        _others[runtime] = WarmChild(child.table, f"classification in {runtime}")
    return _others[runtime]


@dataclass(frozen=True, slots=True)
class ImageExcitations:
    """The SE blocks of a network, and the gates (channels,) of each for one image."""

    blocks: tuple[Block, ...]
    values: tuple[np.ndarray, ...]


def classify(
    artifact: str, data: bytes, name: str, runtime: str = DEFAULT_RUNTIME
) -> Classification:
    """Top-5 of an image file by the build of this digest, in a runtime with a child of its own.

    Raises ImageRejected with the name of the image and the reason, ArtifactMissing, and ChildFailed
    where the child takes longer than TIMEOUT_S, exceeds its memory limit or dies; the next request
    starts another child.
    """
    facts: dict[str, object] = {"artifact": artifact, "name": name, "runtime": runtime}
    answer = _child_of(runtime).ask("classify", TIMEOUT_S, facts, data)
    predictions = tuple(Prediction(**prediction) for prediction in answer.facts["predictions"])
    (crop,) = unpack_arrays(answer.blocks)
    return Classification(predictions, crop, **answer.facts["timings"])


def excitations(artifact: str, data: bytes, name: str) -> ImageExcitations:
    """The SE gates for an image file, by the fp32 build of this digest.

    Raises the errors of `classify`, and InvalidRequest for a network without SE blocks.
    """
    answer = child.ask("excitations", TIMEOUT_S, {"artifact": artifact, "name": name}, data)
    blocks = tuple(Block(**block) for block in answer.facts["blocks"])
    return ImageExcitations(blocks, unpack_arrays(answer.blocks))
