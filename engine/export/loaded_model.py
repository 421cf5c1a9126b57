"""The torch module of a model with the requested weights."""

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
class LoadedModule:
    """A module in evaluation mode with its weights; `remarks`: what was assumed about their file.

    `key`: the set of weights, of several in the file; `classes`: number of classes of the file,
    where it is not the default of the architecture.
    """

    module: nn.Module
    key: str | None = None
    classes: int | None = None
    remarks: tuple[str, ...] = ()

    def manifest_facts(self) -> dict[str, Any]:
        """Keys to add to the manifest; empty where nothing was assumed."""
        facts = {"weights_key": self.key, "notes": list(self.remarks)}
        return {name: value for name, value in facts.items() if value}


def load_module(
    model: CatalogModel, spec: ExportSpec, context: JobContext
) -> tuple[LoadedModule, Weights]:
    """The module in evaluation mode, and the recorded row of its weights.

    Raises WeightsUnavailable, or CheckpointRejected for a file that does not match the model.
    """
    from engine.checkpoints.registry import build_module

    context.stage(f"Building {model.id}.")
    file = find_weights(
        model, spec.weights, lambda done, total: context.progress(done, total, "bytes")
    )
    if file is None:
        loaded = LoadedModule(
            build_module(model.source, model.architecture, seed=spec.weights.seed)
        )
        origin, size = f"random, seed {spec.weights.seed}", 0
        digest = module_digest(loaded.module)
    else:
        context.say(f"Loading weights: {file.origin}.")
        loaded = load_weights(model, file)
        for remark in loaded.remarks:
            context.say(remark)
        digest, origin, size = file.identity, file.origin, file.path.stat().st_size
    weights = Weights(
        digest=digest, model_id=model.id, kind=spec.weights.kind, origin=origin, size_bytes=size
    )
    record_model(model, context.url)
    artifacts.record_weights(weights, context.url)
    return loaded, weights


def load_weights(model: CatalogModel, file: WeightsFile) -> LoadedModule:
    """A module with the weights of a file, built for the number of classes of the file.

    Raises CheckpointRejected, which names the catalog row that the file belongs to, if any.
    """
    from engine.checkpoints.fitting import fit
    from engine.checkpoints.load_state import load_into
    from engine.checkpoints.reading import read_checkpoint
    from engine.checkpoints.registry import build_module

    fitted = fit(read_checkpoint(file.path, file.key), model.source, model.architecture)
    module = build_module(model.source, model.architecture, classes=fitted.classes)
    load_into(module, fitted.tensors, model.id)
    return LoadedModule(module, file.key, fitted.classes, fitted.remarks)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters of the module, before an export folds BatchNorm."""
    return sum(parameter.numel() for parameter in module.parameters())
