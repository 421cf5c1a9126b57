"""A process that looks into a checkpoint: `python -m engine.checkpoints.identify_process`.

JSON in: `path`, `key` (a --weights-key, or null) and `guesses` (model ids, the likeliest first).
JSON out: what engine.weights.identify.Identified holds. Pages and commands ask it, so that torch
and a stranger's file stay out of their processes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import timm

from engine.catalog.models import find_model
from engine.checkpoints.fitting import fit
from engine.checkpoints.identify import fitting_parts, recognize
from engine.checkpoints.reading import Checkpoint, read_checkpoint
from engine.errors import WorkbenchError

MMCLS_BACKBONE, MMCLS_HEAD = "backbone.", "head.fc."


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Which network the file holds, for how many classes, in which sets of weights.

    Of the guesses only those are kept that exist.
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


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))
