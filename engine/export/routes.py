"""Which ways lead from a model to its export, and what each of them needs."""

from __future__ import annotations

from pathlib import Path

from engine.catalog.models import CatalogModel
from engine.config import settings
from engine.errors import ExportFailed, InvalidRequest

PROGRAM_SUFFIXES = (".pdmodel", ".json")


def require_route(model: CatalogModel, format_: str, via: str) -> None:
    """Raises InvalidRequest, with the way out, unless the model's source takes this way."""
    if model.source == "onnx" and format_ != "onnx":
        raise InvalidRequest(
            f"{model.id} is an ONNX file and cannot become TorchScript; leave the format at onnx."
        )
    if via == "paddle2onnx" and model.source != "ppcls":
        raise InvalidRequest(
            f"paddle2onnx converts PaddleClas models only, and {model.id} is none; leave the route "
            f"at torch."
        )


def program_beside(weights: Path) -> Path:
    """The program of an inference model, beside its .pdiparams; InvalidRequest if there is none."""
    is_inference = weights.suffix == ".pdiparams"
    beside = [weights.with_suffix(s) for s in PROGRAM_SUFFIXES] if is_inference else []
    found = next((path for path in beside if path.is_file()), None)
    if found is None:
        raise InvalidRequest(
            f"paddle2onnx converts an inference model: choose weights from a .pdiparams file with "
            f"its .pdmodel or .json beside it ({weights.name or 'no file'} is not one). A "
            f".pdparams file needs no Paddle: leave the route at torch."
        )
    return found


def require_environment() -> Path:
    """The Python that has paddle2onnx; ExportFailed with the way to get it."""
    python = settings().paddle_python
    if not python.is_file():
        raise ExportFailed(
            f"paddle2onnx has an environment of its own, and there is none at {python}: "
            f"`make setup-paddle` makes it."
        )
    return python
