"""Handlers of the warm child process that reads checkpoints: see engine.weights.identify.

Pages and commands use it, so that torch and untrusted files stay out of their processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm

from engine.catalog.models import find_model
from engine.checkpoints.fitting import fit
from engine.checkpoints.identify import fitting_parts, recognize
from engine.checkpoints.reading import Checkpoint, read_checkpoint
from engine.errors import WorkbenchError
from engine.jobs.messages import Message

MMCLS_BACKBONE, MMCLS_HEAD = "backbone.", "head.fc."


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Which network the file holds, for how many classes, in which sets of weights.

    Asked are `path`, `key` (a --weights-key, or null) and `guesses` (model ids, the likeliest
    first); told is what Identified holds. Of the guesses only those are kept that exist.
    """
    guesses = [guess for guess in asked["guesses"] if _exists(guess)]
    told: dict[str, Any] = {"guesses": guesses}
    if asked["path"] is None:
        return told
    try:
        found = read_checkpoint(Path(asked["path"]), asked["key"])
        told |= {"sets": list(found.names), "is_mmcls": _is_mmcls(found)}
        model_id = recognize(found.tensors) or next(
            (guess for guess in guesses if _holds(found, guess)), None
        )
        told["model_id"] = model_id
        if model_id is not None:
            model = find_model(model_id)
            fitted = fit(found, model.source, model.architecture)
            told |= {
                "sets": list(fitted.names),
                "classes": fitted.classes,
                "remarks": list(fitted.remarks),
            }
    except WorkbenchError as error:
        told["error"] = str(error)
    return told


def _exists(model_id: str) -> bool:
    source, _, name = model_id.partition("/")
    return source != "timm" or (":" not in name and timm.is_model(name))


def _holds(found: Checkpoint, model_id: str) -> bool:
    model = find_model(model_id)
    return bool(fitting_parts(found.tensors, model.source, model.architecture))


def _is_mmcls(found: Checkpoint) -> bool:
    """Whether keys are named as OpenMMLab's classifiers name them, wrapped or not."""
    return all(any(part in key for key in found.tensors) for part in (MMCLS_BACKBONE, MMCLS_HEAD))


HANDLERS = {"identify": lambda request: Message(answer(request.facts))}
