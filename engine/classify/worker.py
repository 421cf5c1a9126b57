"""Handlers of the child process that `client` uses.

Loaded models are cached. The least recently used is dropped when `MAX_LOADED` are loaded, or when
the process uses more than half of its memory limit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

import psutil

from db.models import Artifact
from engine.classify.predict import Classifier
from engine.config import settings
from engine.excitations.per_image import Excitations
from engine.jobs.messages import Message, pack_arrays
from engine.jobs.warm_child import memory_limit
from engine.store import artifacts

MAX_LOADED = 6
Loaded = TypeVar("Loaded")
_loaded: OrderedDict[tuple[object, str], Any] = OrderedDict()


def classify(request: Message) -> Message:
    """Top-5 of an image file by a build; the block of the answer is the model input."""
    runtime = request.facts["runtime"]
    load = partial(Classifier, runtime=runtime)
    model = load_cached(load, request.facts["artifact"], (Classifier, runtime))
    result = model.classify(request.blocks[0], request.facts["name"])
    facts = {
        "predictions": [asdict(prediction) for prediction in result.predictions],
        "timings": {
            "decode_ms": result.decode_ms,
            "prepare_ms": result.prepare_ms,
            "infer_ms": result.infer_ms,
        },
    }
    return Message(facts, pack_arrays([result.crop]))


def excitations(request: Message) -> Message:
    """The SE gates for an image file by an fp32 build; one block (channels,) per SE block."""
    network = load_cached(Excitations, request.facts["artifact"], (Excitations,))
    values = network.image_weights(request.blocks[0], request.facts["name"])
    return Message({"blocks": [asdict(block) for block in network.blocks]}, pack_arrays(values))


def load_cached(
    load: Callable[[Artifact], Loaded], digest: str, kind: tuple[object, ...]
) -> Loaded:
    """The model of an artifact, from the cache or loaded now; `kind` tells loaders apart."""
    key = (kind, digest)
    if key not in _loaded:
        while _loaded and (len(_loaded) >= MAX_LOADED or _uses_half_of_memory()):
            _loaded.popitem(last=False)
        _loaded[key] = load(artifacts.find_by_digest(digest, settings().url))
    _loaded.move_to_end(key)
    model: Loaded = _loaded[key]
    return model


def _uses_half_of_memory() -> bool:
    used_bytes: int = psutil.Process().memory_info().rss
    return used_bytes > memory_limit() // 2


HANDLERS = {"classify": classify, "excitations": excitations}
