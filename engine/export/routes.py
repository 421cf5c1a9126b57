"""Export routes: which ones a model supports, and what each needs."""

from __future__ import annotations

from pathlib import Path

from engine.catalog.models import CatalogModel
from engine.config import settings
from engine.errors import ExportFailed, InvalidRequest

PROGRAM_SUFFIXES = (".pdmodel", ".json")


def require_route(model: CatalogModel, format_: str, via: str) -> None:
    """Raises InvalidRequest unless the source of the model supports this format and route."""
    if model.source == "onnx" and format_ != "onnx":
        raise InvalidRequest(
            f"{model.id} is an ONNX file and cannot be exported to TorchScript: choose the format "
            f"onnx."
        )
    if via == "paddle2onnx" and model.source != "ppcls":
        raise InvalidRequest(
            f"paddle2onnx converts PaddleClas models only, not {model.id}: choose the route torch."
        )


def find_program(weights: Path) -> Path:
    """The program file of an inference model, next to its .pdiparams; raises InvalidRequest."""
    is_inference = weights.suffix == ".pdiparams"
    candidates = [weights.with_suffix(s) for s in PROGRAM_SUFFIXES] if is_inference else []
    program = next((path for path in candidates if path.is_file()), None)
    if program is None:
        raise InvalidRequest(
            f"paddle2onnx converts an inference model, not {weights.name or 'no file'}: choose a "
            f".pdiparams file with its .pdmodel or .json in the same folder. For a .pdparams file "
            f"choose the route torch, which does not need Paddle."
        )
    return program


def require_environment() -> Path:
    """The Python of the paddle2onnx environment; raises ExportFailed where it is not installed."""
    python = settings().paddle_python
    if not python.is_file():
        raise ExportFailed(
            f"The paddle2onnx environment is missing at {python}: create it with "
            f"`make setup-paddle`."
        )
    return python
