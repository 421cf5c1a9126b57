"""What the child process of the pages answers: see `client`, which asks.

Models stay loaded, the most recently used; the oldest go when there are `MOST_LOADED`, or when the
process uses over half of the memory that it may.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import psutil

from db.models import Artifact
from engine.classify.predict import Classifier
from engine.config import settings
from engine.excitations.per_image import Excitations
from engine.jobs.messages import Message, pack_arrays
from engine.jobs.warm_child import memory_limit
from engine.store import artifacts

MOST_LOADED = 6
Loaded = TypeVar("Loaded")
_loaded: OrderedDict[tuple[object, str], Any] = OrderedDict()


def classify(request: Message) -> Message:
    """Top-5 of an image file by a build; the block is the crop."""
    found = loaded(Classifier, request.facts["artifact"]).classify(
        request.blocks[0], request.facts["name"]
    )
    facts = {
        "guesses": [asdict(guess) for guess in found.guesses],
        "timings": {
            "decode_ms": found.decode_ms,
            "prepare_ms": found.prepare_ms,
            "infer_ms": found.infer_ms,
        },
    }
    return Message(facts, pack_arrays([found.crop]))


def excitations(request: Message) -> Message:
    """The SE gates of an image file in an fp32 build; a block of channels each."""
    network = loaded(Excitations, request.facts["artifact"])
    values = network.image_weights(request.blocks[0], request.facts["name"])
    return Message({"blocks": [asdict(block) for block in network.blocks]}, pack_arrays(values))


def loaded(load: Callable[[Artifact], Loaded], digest: str) -> Loaded:
    """A model of an artifact, from those in memory or loaded now."""
    key = (load, digest)
    if key not in _loaded:
        while _loaded and (len(_loaded) >= MOST_LOADED or _is_half_full()):
            _loaded.popitem(last=False)
        _loaded[key] = load(artifacts.find_by_digest(digest, settings().url))
    _loaded.move_to_end(key)
    found: Loaded = _loaded[key]
    return found


def _is_half_full() -> bool:
    used: int = psutil.Process().memory_info().rss
    return used > memory_limit() // 2


HANDLERS = {"classify": classify, "excitations": excitations}
