"""Classification for pages: a warm child process does it, and this process loads no runtime.

There is one child a process, for all threads; it starts with the first image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.classify.predict import Classified, Guess
from engine.excitations.per_image import Block
from engine.jobs.messages import unpack_arrays
from engine.jobs.warm_child import WarmChild

LIMIT_S = 60.0
child = WarmChild("engine.classify.worker:HANDLERS", "classification")


@dataclass(frozen=True, slots=True)
class ImageExcitations:
    """The SE blocks of a network, and the weights (channels,) that each gives for one image."""

    blocks: tuple[Block, ...]
    values: tuple[np.ndarray, ...]


def classify(artifact: str, data: bytes, name: str) -> Classified:
    """Top-5 of an image file by the build of this digest.

    Raises ImageRejected, naming the image and what is wrong, ArtifactMissing, and ChildFailed:
    over LIMIT_S, over the memory, or the child died; the next request starts another one.
    """
    answer = child.ask("classify", LIMIT_S, {"artifact": artifact, "name": name}, data)
    guesses = tuple(Guess(**guess) for guess in answer.facts["guesses"])
    (crop,) = unpack_arrays(answer.blocks)
    return Classified(guesses, crop, **answer.facts["timings"])


def excitations(artifact: str, data: bytes, name: str) -> ImageExcitations:
    """The SE gates of an image file in the fp32 build of this digest.

    Raises what `classify` does, and InvalidRequest for a network without SE.
    """
    answer = child.ask("excitations", LIMIT_S, {"artifact": artifact, "name": name}, data)
    blocks = tuple(Block(**block) for block in answer.facts["blocks"])
    return ImageExcitations(blocks, unpack_arrays(answer.blocks))
