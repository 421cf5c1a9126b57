"""Writes a torch module to a file: ONNX or TorchScript."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from engine.common.files import disk_full_as_error
from engine.config import settings
from engine.errors import ExportFailed
from engine.export.verify import Scores
from engine.onnx import graph_io
from engine.onnx.opset import OPSET
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import CPU_PROVIDER, ExportFormat
from engine.store.artifacts import MODEL_FILE, TORCHSCRIPT_FILE
from engine.text import first_line

if TYPE_CHECKING:
    from torch import nn

# Source files and lines for error messages, which contain local paths of the exporting machine.
DEBUG_SUFFIX = ".debug_pkl"
# A zip entry has a timestamp; equal exports must be equal files.
NO_TIME = (1980, 1, 1, 0, 0, 0)

Writer = Callable[["nn.Module", int, onnx.ModelProto, Path], Scores]


def write(
    format_: ExportFormat, module: nn.Module, side: int, folder: Path
) -> tuple[onnx.ModelProto, Scores]:
    """Writes the module to `folder`; returns its ONNX graph, and a function that runs the file.

    MACs are counted from the graph, for both formats. Raises ExportFailed.
    """
    graph = to_onnx(module, side)
    return graph, _WRITERS[format_](module, side, graph, folder)


def to_onnx(module: nn.Module, side: int) -> onnx.ModelProto:
    """The module as an ONNX graph: `input` (batch, 3, side, side) -> `logits`, any batch size.

    Raises ExportFailed when the exporter writes another opset than requested, which it may do
    without an error.
    """
    import torch

    program = torch.onnx.export(
        module,
        (torch.zeros(1, 3, side, side),),
        dynamo=True,
        opset_version=OPSET,
        input_names=[graph_io.INPUT],
        output_names=[graph_io.OUTPUT],
        dynamic_shapes=({0: torch.export.Dim(graph_io.BATCH)},),
        verbose=False,
    )
    if program is None:
        raise ExportFailed("torch.onnx.export returned no graph: see the log.")
    proto = program.model_proto
    graph_io.strip_exporter_metadata(proto)
    if graph_io.opset_of(proto) != OPSET:
        raise ExportFailed(
            f"torch.onnx.export wrote opset {graph_io.opset_of(proto)}, not {OPSET} as requested."
        )
    return proto


def to_torchscript(module: nn.Module, side: int, path: Path) -> None:
    """Traces the module at (1, 3, side, side) and writes an archive for torch.jit.load.

    Raises ExportFailed for a module that cannot be traced.
    """
    import torch

    traced_path = path.with_suffix(".traced")
    with warnings.catch_warnings(), torch.no_grad():
        # torch.jit is deprecated but works; vendor compilers still need its files.
        warnings.simplefilter("ignore")
        try:
            traced = torch.jit.trace(module, torch.zeros(1, 3, side, side), check_trace=False)
        except (RuntimeError, TypeError) as error:
            raise ExportFailed(
                f"The model cannot be traced to TorchScript: {first_line(error)}"
            ) from error
        with disk_full_as_error(path.parent):
            torch.jit.save(traced, traced_path)
            _copy_without_debug(traced_path, path)
    traced_path.unlink()


def _copy_without_debug(traced_path: Path, path: Path) -> None:
    with zipfile.ZipFile(traced_path) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if not name.endswith(DEBUG_SUFFIX):
                target.writestr(zipfile.ZipInfo(name, NO_TIME), source.read(name))


def _write_onnx(module: nn.Module, side: int, graph: onnx.ModelProto, folder: Path) -> Scores:
    path = folder / MODEL_FILE
    graph_io.save(graph, path)
    return OnnxSession(path, CPU_PROVIDER, settings().threads).run


def _write_torchscript(
    module: nn.Module, side: int, graph: onnx.ModelProto, folder: Path
) -> Scores:
    import torch

    path = folder / TORCHSCRIPT_FILE
    to_torchscript(module, side, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(path, map_location="cpu")
    return score_function(loaded)


def score_function(module: nn.Module) -> Scores:
    """A torch module as a function from a float32 batch (n, 3, side, side) to scores."""
    import torch

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            scores: np.ndarray = module(torch.from_numpy(batch)).numpy()
        return scores

    return run


_WRITERS: dict[ExportFormat, Writer] = {"onnx": _write_onnx, "torchscript": _write_torchscript}
