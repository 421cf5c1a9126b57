"""Which network a checkpoint holds, read from its tensors in a process of its own."""

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
    """What a file of weights says of itself.

    `model_id` is the row of the catalog, or the guess, that its tensors fit; None where none
    does, `error` then says why where the file cannot be read. `classes` is that of its head where
    it is not the network's own, `sets` what --weights-key can name, `guesses` those that exist.
    """

    model_id: str | None = None
    classes: int | None = None
    sets: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    is_mmcls: bool = False
    guesses: tuple[str, ...] = ()
    error: str | None = None


def identify(path: Path | None, key: str | None = None, guesses: Sequence[str] = ()) -> Identified:
    """Looks into a file of weights; without one it only tells which guesses exist.

    Nothing of the file is run, and a file that cannot be read is no error of the caller.
    """
    where = None if path is None else str(path.absolute())
    asked: dict[str, object] = {"path": where, "key": key, "guesses": list(guesses)}
    try:
        return of_answer(child.ask("identify", LIMIT_S, asked).facts)
    except WorkbenchError as error:
        name = path.name if path is not None else "timm"
        return Identified(error=f"{name} could not be looked into: {error}")


def of_answer(told: dict[str, object]) -> Identified:
    """The answer of the process, as data."""
    return Identified(**{k: tuple(v) if isinstance(v, list) else v for k, v in told.items()})  # type: ignore[arg-type]


def published_as(file_name: str) -> str | None:
    """The row whose published weights have this file name, with or without a suffix."""
    wanted = _bare(file_name)
    for model in catalog().values():
        if model.weights_ref is not None and _bare(model.weights_ref) == wanted:
            return model.id
    return None


def _bare(name: str) -> str:
    plain = name.rpartition("/")[2].lower()
    for suffix in (".pdparams", ".pdiparams", ".pth", ".pt", ".safetensors", "_pretrained"):
        plain = plain.removesuffix(suffix)
    return plain
