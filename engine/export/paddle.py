"""PaddleClas' own path: a Paddle inference model through paddle2onnx, believed only when verified.

paddle2onnx 2.1 runs in an environment of its own (`make setup-paddle`). It returns 0 with a file
without weights when the parameters are missing, and with an invalid one when they are cut short;
its default optimizer installs packages while it runs, so none is asked for. What it wrote must
hold the weights, load in ONNX Runtime, and compute what our own network does with them.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from engine.catalog.models import CatalogModel
from engine.config import settings
from engine.errors import ExportFailed
from engine.export.loaded_model import load_module, parameters_of
from engine.export.onnx_cleanup import tidy
from engine.export.onnx_reading import load_onnx
from engine.export.record import Exported, finish, require_agreement
from engine.export.routes import program_beside, require_environment
from engine.export.torch_export import scores_of
from engine.export.verify import compare, probe_inputs
from engine.jobs.context import JobContext
from engine.onnx import graph_io
from engine.onnx.batch import set_batch
from engine.onnx.opset import OPSET
from engine.onnx.signature import find_image_inputs
from engine.preprocess import PreprocessSpec
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import CPU_PROVIDER, ExportSpec
from engine.store import artifacts
from engine.text import first_line

TIMEOUT_S = 900


def export_with_paddle2onnx(model: CatalogModel, spec: ExportSpec, context: JobContext) -> str:
    """Stores what paddle2onnx made as an export artifact; returns its digest.

    A final softmax is taken off, so that the output is logits like every other export's. Raises
    ExportFailed without the environment, or for a file that does not compute what the weights do.
    """
    program = program_beside(Path(spec.weights.path or ""))
    python = require_environment()
    loaded, weights = load_module(model, spec, context)
    module = loaded.module
    context.stage(f"Converting {program.name} with paddle2onnx.")
    converted = context.workspace / "converted.onnx"
    convert(python, program, converted)
    proto = read_converted(converted, parameters_of(module))
    has_softmax = take_softmax_off(proto)
    preprocess = _preprocess(model, spec, find_image_inputs(proto, program.name, None)[0].side)
    path = context.workspace / "artifact" / artifacts.MODEL_FILE
    path.parent.mkdir()
    graph_io.strip_exporter_metadata(proto)
    graph_io.rename_tensor(proto, proto.graph.input[0].name, graph_io.INPUT)
    graph_io.rename_tensor(proto, proto.graph.output[0].name, graph_io.OUTPUT)
    set_batch(proto, None)
    graph_io.save(proto, path)
    context.stage("Comparing the conversion with the network of the same weights.")
    stored = _load(path)
    agreement = compare(scores_of(module), stored.run, probe_inputs(preprocess))
    require_agreement(agreement, context)
    about = {"softmax_taken_off": has_softmax, "scores": "logits", **loaded.about()}
    parameters = parameters_of(module)
    made = Exported(
        path.parent, proto, weights, preprocess, agreement, parameters, about, loaded.classes
    )
    return finish(made, model, spec, context)


def convert(python: Path, program: Path, target: Path) -> None:
    """Runs paddle2onnx; ExportFailed with its last words where it says that it failed."""
    command = [str(python), "-m", "paddle2onnx.command"]
    command += ["--model_dir", str(program.parent), "--model_filename", program.name]
    command += ["--params_filename", program.with_suffix(".pdiparams").name]
    command += ["--save_file", str(target), "--opset_version", str(OPSET)]
    command += ["--optimize_tool", "None"]
    # Nothing is installed while it runs, whatever it asks for; nor is our own path its path.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = {**kept, "PIP_NO_INDEX": "1", "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=target.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
        )
    except OSError as error:
        raise ExportFailed(
            f"{python} cannot be run ({error.strerror}); `make setup-paddle` makes it anew."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ExportFailed(f"paddle2onnx did not end within {TIMEOUT_S} s.") from error
    print(done.stdout, done.stderr, sep="", flush=True)
    if done.returncode or not target.is_file():
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise ExportFailed(
            f"paddle2onnx could not convert {program.name} (exit code {done.returncode}): "
            f"{lines[-1][:200]}"
        )


def read_converted(converted: Path, parameters: int) -> ModelProto:
    """The converted graph with its weights as initialisers; ExportFailed where they are not all."""
    proto = load_onnx(converted)
    converted.unlink()
    tidy(proto)
    held = sum(int(np.prod(tensor.dims)) for tensor in proto.graph.initializer)
    if held < parameters:
        raise ExportFailed(
            f"paddle2onnx wrote {held:,} of {parameters:,} weights: the parameters are missing or "
            f"cut short. Download the inference model again and keep its files together."
        )
    return proto


def take_softmax_off(proto: ModelProto) -> bool:
    """Makes the logits the output where the graph ends in a softmax; says whether it did.

    Programs of Paddle 2 end in a scale by one as well: a Mul by 1 and an Add of 0.
    """
    graph = proto.graph
    makers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    tail: list[NodeProto] = []
    name = graph.output[0].name
    while name in makers:
        tail.append(makers[name])
        name = tail[-1].input[0]
        if tail[-1].op_type == "Softmax":
            for node in tail:
                graph.node.remove(node)
            graph.output[0].name = name
            return True
        if not _changes_nothing(tail[-1], constants):
            return False
    return False


def _changes_nothing(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    neutral = {"Mul": 1, "Add": 0}.get(node.op_type)
    other = constants.get(node.input[-1])
    if neutral is None or other is None:
        return False
    return bool(np.all(numpy_helper.to_array(other) == neutral))


def _preprocess(model: CatalogModel, spec: ExportSpec, side: int) -> PreprocessSpec:
    """As asked, else as published, at the size that the program was written for."""
    asked = (model.preprocess or PreprocessSpec()).with_overrides(spec.preprocess)
    if asked.crop != side:
        raise ExportFailed(
            f"The inference model takes {side} x {side} pixels, not {asked.crop} x {asked.crop}."
        )
    return asked


def _load(path: Path) -> OnnxSession:
    try:
        return OnnxSession(path, CPU_PROVIDER, settings().threads)
    except Exception as error:  # ONNX Runtime has errors of its own for each kind of damage
        raise ExportFailed(
            f"paddle2onnx wrote a file that ONNX Runtime cannot load: {first_line(error)}"
        ) from error
