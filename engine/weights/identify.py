"""Identifies the model of a checkpoint from its tensors, in a child process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.catalog.models import catalog
from engine.errors import WorkbenchError
from engine.jobs.warm_child import WarmChild

LIMIT_S = 300.0
child = WarmChild("engine.checkpoints.identify_process:HANDLERS", "checkpoints", idle_s=120.0)


@dataclass(frozen=True, slots=True)
class Identified:
    """The identification of a weights file.

    `model_id` is the catalog row, or the guess, that the tensors fit; None if there is none or the
    file cannot be read (then `error` is the reason). `classes` is the number of classes of the
    head, if it differs from the model's; `sets` are the values of --weights-key; `guesses` are
    the guessed models that exist.
    """

    model_id: str | None = None
    classes: int | None = None
    sets: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    is_mmcls: bool = False
    guesses: tuple[str, ...] = ()
    error: str | None = None


def identify(path: Path | None, key: str | None = None, guesses: Sequence[str] = ()) -> Identified:
    """Identifies a weights file; without a path, only checks which guesses exist.

    No code of the file is run. Failures are returned in `error`, not raised.
    """
    absolute_path = None if path is None else str(path.absolute())
    request: dict[str, object] = {"path": absolute_path, "key": key, "guesses": list(guesses)}
    try:
        return from_answer(child.ask("identify", LIMIT_S, request).facts)
    except WorkbenchError as error:
        name = path.name if path is not None else "timm"
        return Identified(error=f"{name} could not be identified: {error}")


def from_answer(answer: dict[str, object]) -> Identified:
    """Converts the answer of the child process."""
    return Identified(**{k: tuple(v) if isinstance(v, list) else v for k, v in answer.items()})  # type: ignore[arg-type]


def model_of_published_file(file_name: str) -> str | None:
    """The id of the model whose published weights have this file name, ignoring suffixes."""
    stem = _stem(file_name)
    for model in catalog().values():
        if model.weights_ref is not None and _stem(model.weights_ref) == stem:
            return model.id
    return None


def _stem(name: str) -> str:
    plain = name.rpartition("/")[2].lower()
    for suffix in (".pdparams", ".pdiparams", ".pth", ".pt", ".safetensors", "_pretrained"):
        plain = plain.removesuffix(suffix)
    return plain
