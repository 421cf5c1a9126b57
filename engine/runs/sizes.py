"""The size of models before they are exported: parameters and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from db.models import Model
from db.session import reading
from engine.catalog.flops_conventions import published_gmacs
from engine.catalog.models import catalog
from engine.common.files import expand_user, is_file
from engine.runs.request import OtherModel

BYTES_PER_PARAMETER = 4


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Parameters in millions and GMACs per image; None where it is not known yet."""

    params_m: float | None = None
    gmacs: float | None = None


def sizes_of(models: Iterable[OtherModel], url: str) -> dict[str, ModelSize]:
    """By model id: counted on an export, else as published, else by the size of the file."""
    given = {model.model_id: model for model in models}
    statement = select(Model.id, Model.params_m, Model.compute_gmacs).where(Model.id.in_(given))
    with reading(url) as session:
        counted = {row.id: (row.params_m, row.compute_gmacs) for row in session.execute(statement)}
    return {name: _size(model, *counted.get(name, (None, None))) for name, model in given.items()}


def _size(model: OtherModel, params_m: float | None, gmacs: float | None) -> ModelSize:
    row = catalog().get(model.model_id)
    if row is not None:
        return ModelSize(params_m or row.published_params_m, gmacs or published_gmacs(row))
    path = expand_user(model.weights.path or "")
    if params_m is None and model.weights.path and is_file(path):
        params_m = path.stat().st_size / BYTES_PER_PARAMETER / 1e6
    return ModelSize(params_m, gmacs)
