"""Handlers of the child process that reads checkpoints (see engine.weights.identify).

It keeps torch and untrusted files out of the processes of pages and commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm

from engine.catalog.models import find_model
from engine.checkpoints.fitting import fit
from engine.checkpoints.identify import fitting_parts, identify_model
from engine.checkpoints.reading import Checkpoint, read_checkpoint
from engine.errors import WorkbenchError
from engine.jobs.messages import Message

MMCLS_BACKBONE, MMCLS_HEAD = "backbone.", "head.fc."


def identify_checkpoint(request: dict[str, Any]) -> dict[str, Any]:
    """Identifies the model of a file, its number of classes, and its sets of weights.

    Keys of the request: `path`, `key` (a --weights-key, or null) and `guesses` (model ids, the
    most likely first). The answer has the fields of Identified.
    """
    guesses = [guess for guess in request["guesses"] if _exists(guess)]
    result: dict[str, Any] = {"guesses": guesses}
    if request["path"] is None:
        return result
    try:
        checkpoint = read_checkpoint(Path(request["path"]), request["key"])
        result |= {"sets": list(checkpoint.names), "is_mmcls": _is_mmcls(checkpoint)}
        model_id = identify_model(checkpoint.tensors) or next(
            (guess for guess in guesses if _fits(checkpoint, guess)), None
        )
        result["model_id"] = model_id
        if model_id is not None:
            model = find_model(model_id)
            fitted = fit(checkpoint, model.source, model.architecture)
            result |= {
                "sets": list(fitted.names),
                "classes": fitted.classes,
                "remarks": list(fitted.remarks),
            }
    except WorkbenchError as error:
        result["error"] = str(error)
    return result


def _exists(model_id: str) -> bool:
    source, _, name = model_id.partition("/")
    return source != "timm" or (":" not in name and timm.is_model(name))


def _fits(checkpoint: Checkpoint, model_id: str) -> bool:
    model = find_model(model_id)
    return bool(fitting_parts(checkpoint.tensors, model.source, model.architecture))


def _is_mmcls(checkpoint: Checkpoint) -> bool:
    """Whether the keys are those of an OpenMMLab classifier, with or without a prefix."""
    parts = (MMCLS_BACKBONE, MMCLS_HEAD)
    return all(any(part in key for key in checkpoint.tensors) for part in parts)


HANDLERS = {"identify": lambda request: Message(identify_checkpoint(request.facts))}
