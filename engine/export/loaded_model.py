"""A model's torch module with the weights asked for, in a job's process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from db.models import Weights
from engine.catalog.models import CatalogModel
from engine.jobs.context import JobContext
from engine.specs import ExportSpec
from engine.store import artifacts
from engine.store.database import record_model
from engine.weights.lookup import find_weights, module_digest

if TYPE_CHECKING:
    from torch import nn

    from engine.weights.lookup import WeightsFile


@dataclass(frozen=True, slots=True)
class Loaded:
    """A module in evaluation mode with the weights of a file, and what was assumed of the file.

    `classes` is the number that the file's head has, where it is not the architecture's own.
    """

    module: nn.Module
    key: str | None = None
    classes: int | None = None
    remarks: tuple[str, ...] = ()

    def about(self) -> dict[str, Any]:
        """What a manifest says of it; nothing where the file held just what was expected."""
        told = {"weights_key": self.key, "notes": list(self.remarks)}
        return {name: value for name, value in told.items() if value}


def load_module(
    model: CatalogModel, spec: ExportSpec, context: JobContext
) -> tuple[Loaded, Weights]:
    """The module in evaluation mode, and the recorded row of its weights.

    Raises WeightsUnavailable, or CheckpointRejected for a file that does not fit the model.
    """
    from engine.checkpoints.registry import build_module

    context.stage(f"Building {model.id}.")
    found = find_weights(
        model, spec.weights, lambda done, total: context.progress(done, total, "bytes")
    )
    if found is None:
        loaded = Loaded(build_module(model.source, model.architecture, seed=spec.weights.seed))
        origin, size = f"random, seed {spec.weights.seed}", 0
        digest = module_digest(loaded.module)
    else:
        context.say(f"Loading weights: {found.origin}.")
        loaded = load_weights(model, found)
        for remark in loaded.remarks:
            context.say(remark)
        digest, origin, size = found.identity, found.origin, found.path.stat().st_size
    weights = Weights(
        digest=digest, model_id=model.id, kind=spec.weights.kind, origin=origin, size_bytes=size
    )
    record_model(model, context.url)
    artifacts.record_weights(weights, context.url)
    return loaded, weights


def load_weights(model: CatalogModel, file: WeightsFile) -> Loaded:
    """A module with the weights of a file, built for as many classes as the file's head has.

    Raises CheckpointRejected, naming the row that the file belongs to where it is another.
    """
    from engine.checkpoints.fitting import fit
    from engine.checkpoints.load_state import load_into
    from engine.checkpoints.reading import read_checkpoint
    from engine.checkpoints.registry import build_module

    fitted = fit(read_checkpoint(file.path, file.key), model.source, model.architecture)
    module = build_module(model.source, model.architecture, classes=fitted.classes)
    load_into(module, fitted.tensors, model.id)
    return Loaded(module, file.key, fitted.classes, fitted.remarks)


def parameters_of(module: nn.Module) -> int:
    """How many numbers are trained: the module's own, before an export folds BatchNorm away."""
    return sum(parameter.numel() for parameter in module.parameters())
