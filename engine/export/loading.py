"""A model's torch module with the weights asked for, in a job's process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from db.tables import Weights
from engine import artifacts
from engine.catalog import CatalogModel
from engine.database import record_model
from engine.jobs.context import JobContext
from engine.specs import ExportSpec
from engine.weights.finding import find_weights, module_digest

if TYPE_CHECKING:
    from torch import nn

    from engine.weights.finding import WeightsFile


def load_module(
    model: CatalogModel, spec: ExportSpec, context: JobContext
) -> tuple[nn.Module, Weights]:
    """The module in evaluation mode, and the recorded row of its weights.

    Raises WeightsUnavailable, or CheckpointRejected for a file that does not fit the model.
    """
    from engine.sources import build_module

    context.stage(f"Building {model.id}.")
    module = build_module(model.source, model.architecture, seed=spec.weights.seed)
    found = find_weights(
        model, spec.weights, lambda done, total: context.progress(done, total, "bytes")
    )
    if found is None:
        digest, origin, size = module_digest(module), f"random, seed {spec.weights.seed}", 0
    else:
        context.say(f"Loading weights: {found.origin}.")
        load_weights(module, model, found)
        digest, origin, size = found.digest, found.origin, found.path.stat().st_size
    weights = Weights(
        digest=digest, model_id=model.id, kind=spec.weights.kind, origin=origin, size_bytes=size
    )
    record_model(model, context.url)
    artifacts.record_weights(weights, context.url)
    return module, weights


def load_weights(module: nn.Module, model: CatalogModel, file: WeightsFile) -> None:
    """Reads a file of the model's weights into its module, completely or not at all.

    Raises CheckpointRejected, naming the row that the file belongs to where it is another.
    """
    from engine.sources import adapt_state
    from engine.sources.checkpoints import read_checkpoint
    from engine.sources.matching import load_into

    state = adapt_state(model.source, model.architecture, read_checkpoint(file.path))
    load_into(module, state, model.id)


def parameters_of(module: nn.Module) -> int:
    """How many numbers are trained: the module's own, before an export folds BatchNorm away."""
    return sum(parameter.numel() for parameter in module.parameters())
