"""The PaddleClas route: converts a Paddle inference model with paddle2onnx and verifies the result.

paddle2onnx 2.1 runs in a separate environment (`make setup-paddle`). It returns 0 with a file
without weights when the parameters are missing, and with an invalid file when they are truncated;
its default optimizer installs packages at run time, so it is turned off. The converted file must
contain the weights, load in ONNX Runtime, and agree with the torch network of the same weights.
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
from engine.export.loaded_model import count_parameters, load_module
from engine.export.onnx_cleanup import clean_graph
from engine.export.onnx_reading import load_onnx
from engine.export.record import Exported, require_agreement, store_export
from engine.export.routes import find_program, require_environment
from engine.export.torch_export import score_function
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
    """Stores the converted model as an export artifact; returns its digest.

    A final softmax is removed, so that the output is logits as in every other export. Raises
    ExportFailed without the environment, or where the result does not agree with the network.
    """
    program = find_program(Path(spec.weights.path or ""))
    python = require_environment()
    loaded, weights = load_module(model, spec, context)
    module = loaded.module
    context.stage(f"Converting {program.name} with paddle2onnx.")
    converted = context.workspace / "converted.onnx"
    convert(python, program, converted)
    proto = read_converted(converted, count_parameters(module))
    has_softmax = remove_final_softmax(proto)
    preprocess = _preprocess(model, spec, find_image_inputs(proto, program.name, None)[0].side)
    path = context.workspace / "artifact" / artifacts.MODEL_FILE
    path.parent.mkdir()
    graph_io.strip_exporter_metadata(proto)
    graph_io.rename_tensor(proto, proto.graph.input[0].name, graph_io.INPUT)
    graph_io.rename_tensor(proto, proto.graph.output[0].name, graph_io.OUTPUT)
    set_batch(proto, None)
    graph_io.save(proto, path)
    context.stage("Verifying the conversion against the torch network.")
    stored = _load(path)
    agreement = compare(score_function(module), stored.run, probe_inputs(preprocess))
    require_agreement(agreement, context)
    manifest_facts = {
        "softmax_taken_off": has_softmax,
        "scores": "logits",
        **loaded.manifest_facts(),
    }
    parameters = count_parameters(module)
    exported = Exported(
        path.parent,
        proto,
        weights,
        preprocess,
        agreement,
        parameters,
        manifest_facts,
        loaded.classes,
    )
    return store_export(exported, model, spec, context)


def convert(python: Path, program: Path, target: Path) -> None:
    """Runs paddle2onnx; raises ExportFailed with its last line of output where it fails."""
    command = [str(python), "-m", "paddle2onnx.command"]
    command += ["--model_dir", str(program.parent), "--model_filename", program.name]
    command += ["--params_filename", program.with_suffix(".pdiparams").name]
    command += ["--save_file", str(target), "--opset_version", str(OPSET)]
    command += ["--optimize_tool", "None"]
    # It must not install packages, and must not import from this environment.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = {**inherited, "PIP_NO_INDEX": "1", "PYTHONWARNINGS": "ignore"}
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
            f"{python} cannot be run ({error.strerror}): create it again with `make setup-paddle`."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ExportFailed(
            f"paddle2onnx did not finish within {TIMEOUT_S} s: check that the inference model is "
            f"complete."
        ) from error
    print(done.stdout, done.stderr, sep="", flush=True)
    if done.returncode or not target.is_file():
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise ExportFailed(
            f"paddle2onnx could not convert {program.name} (exit code {done.returncode}): "
            f"{lines[-1][:200]}"
        )


def read_converted(converted: Path, parameters: int) -> ModelProto:
    """The converted graph with weights as initializers. Raises ExportFailed if some are missing."""
    proto = load_onnx(converted)
    converted.unlink()
    clean_graph(proto)
    written = sum(int(np.prod(tensor.dims)) for tensor in proto.graph.initializer)
    if written < parameters:
        raise ExportFailed(
            f"paddle2onnx wrote {written:,} of {parameters:,} weights, so the parameters are "
            f"missing or truncated: download the inference model again and keep its files together."
        )
    return proto


def remove_final_softmax(proto: ModelProto) -> bool:
    """Removes a final softmax, so that the output is logits; returns whether there was one.

    Programs of Paddle 2 also end with a scale operation: a Mul by 1 and an Add of 0.
    """
    graph = proto.graph
    producers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    tail: list[NodeProto] = []
    name = graph.output[0].name
    while name in producers:
        tail.append(producers[name])
        name = tail[-1].input[0]
        if tail[-1].op_type == "Softmax":
            for node in tail:
                graph.node.remove(node)
            graph.output[0].name = name
            return True
        if not _is_neutral(tail[-1], constants):
            return False
    return False


def _is_neutral(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    neutral = {"Mul": 1, "Add": 0}.get(node.op_type)
    other = constants.get(node.input[-1])
    if neutral is None or other is None:
        return False
    return bool(np.all(numpy_helper.to_array(other) == neutral))


def _preprocess(model: CatalogModel, spec: ExportSpec, side: int) -> PreprocessSpec:
    """The requested preprocessing, else the published one; its size must match the program."""
    preprocess = (model.preprocess or PreprocessSpec()).with_overrides(spec.preprocess)
    if preprocess.crop != side:
        raise ExportFailed(
            f"The inference model takes {side} x {side} pixels, not {preprocess.crop} x "
            f"{preprocess.crop}: choose that size."
        )
    return preprocess


def _load(path: Path) -> OnnxSession:
    try:
        return OnnxSession(path, CPU_PROVIDER, settings().threads)
    except Exception as error:  # ONNX Runtime has many error classes
        raise ExportFailed(
            f"paddle2onnx wrote a file that ONNX Runtime cannot load: {first_line(error)}"
        ) from error
