"""int8 targets: chosen from the instruction set, and the data types in the graph."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, numpy_helper

from engine.build.int8.pipeline import prepare, quantize
from engine.build.int8.qdq.qparams import compute_qparams
from engine.build.int8.saturation import overflow_warning_for
from engine.build.int8.targets import TENSORRT_PROVIDER, Activations, get_target, resolve
from engine.runtimes.observing import session_of
from engine.specs import TargetName
from tests.support.mobile import batches, calibration, fused, mobile_model, scores, sqnr_db
from tests.support.tiny import tiny_se_model

CPU = "CPUExecutionProvider"
NAMED = [name for name in TargetName if name != TargetName.AUTO]


@pytest.mark.parametrize(
    ("isa", "machine", "provider", "wanted"),
    [
        (["avx2", "avx512f", "avx512_vnni"], "x86_64", CPU, TargetName.X86_VNNI),
        (["avx2", "avx_vnni"], "x86_64", CPU, TargetName.X86_VNNI),
        (["avx512f", "amx_int8"], "AMD64", CPU, TargetName.X86_VNNI),
        (["avx2", "avx512f"], "x86_64", CPU, TargetName.X86),
        ([], "x86_64", CPU, TargetName.X86),
        (["asimddp"], "aarch64", CPU, TargetName.ARM),
        ([], "arm64", CPU, TargetName.ARM),
        (["avx512_vnni"], "x86_64", TENSORRT_PROVIDER, TargetName.TENSORRT),
    ],
)
def test_the_target_follows_from_the_processor(
    isa: list[str], machine: str, provider: str, wanted: TargetName
) -> None:
    found = resolve(TargetName.AUTO, isa, provider, machine)
    assert found.name == wanted
    assert found.why != "requested"
    for name in NAMED:
        assert resolve(name, isa, provider, machine).name == name, "what is asked for goes first"


@pytest.mark.parametrize(
    ("made_for", "isa", "overflows"),
    [
        (TargetName.X86_VNNI, ["avx2"], True),
        (TargetName.X86_VNNI, ["avx2", "avx_vnni"], False),
        (TargetName.X86, ["avx2"], False),
        (TargetName.ARM, ["avx2"], False),
        (None, ["avx2"], False),
    ],
)
def test_a_build_that_overflows_on_this_processor_is_reported(
    made_for: TargetName | None, isa: list[str], overflows: bool
) -> None:
    warning = overflow_warning_for(made_for, isa, "x86_64")
    assert (warning is not None) == overflows
    assert warning is None or "build it for x86" in warning
    assert overflow_warning_for(made_for, isa, "arm64") is None


def build_for(name: TargetName, model: ModelProto, mode: str = "max") -> ModelProto:
    target = get_target(name)
    built, facts = quantize(prepare(model, calibration(mode), target=target), target)
    onnx.checker.check_model(built, full_check=True)
    assert facts.target.name == name
    return built


def activation_qparams(model: ModelProto) -> list[tuple[np.dtype, np.ndarray]]:
    """(data type, zero points) of all QuantizeLinear nodes."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    zeros = [constants[n.input[2]] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    return [(zero.dtype, zero) for zero in zeros]


def weights_and_biases(model: ModelProto) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """(int8 weights, int32 or float bias) of each quantized layer."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    producers = {n.output[0]: n for n in model.graph.node}
    found = []
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm") or node.input[1] not in producers:
            continue
        bias = producers.get(node.input[2]) if len(node.input) > 2 else None
        stored = constants[bias.input[0] if bias else node.input[2]]
        found.append((constants[producers[node.input[1]].input[0]], stored))
    return found


@pytest.mark.parametrize("made", [tiny_se_model, mobile_model])
@pytest.mark.parametrize("name", NAMED)
def test_the_types_in_the_graph_are_those_of_the_target(name: TargetName, made: object) -> None:
    model = build_for(name, made())  # type: ignore[operator]
    target = get_target(name)
    unsigned = target.activations == Activations.UNSIGNED
    values, layers = activation_qparams(model), weights_and_biases(model)
    assert len(values) >= 3
    assert len(layers) >= 3
    assert {dtype for dtype, _ in values} == {np.dtype(np.uint8 if unsigned else np.int8)}
    for weights, bias in layers:
        assert weights.dtype == np.int8
        assert 0 < np.abs(weights.astype(int)).max() <= 127
        assert bias is not None
        assert bias.dtype == (np.float32 if target.float_bias else np.int32)
    if name == TargetName.TENSORRT:
        assert all((zero == 0).all() for _, zero in values)
        assert all(zero.ndim == 0 for _, zero in values), "one step a tensor"
    if name == TargetName.ARM:
        assert any((zero == -128).all() for _, zero in values), "after ReLU all 8 bits are used"


@pytest.mark.parametrize("mode", ["max", "mse"])
def test_signed_and_unsigned_activations_give_equal_scores(mode: str) -> None:
    """s8 with a zero point is u8 shifted by 128, so the scores are the same."""
    batch = np.concatenate(batches())
    ours = scores(build_for(TargetName.ARM, mobile_model(), mode), batch)
    theirs = scores(build_for(TargetName.X86_VNNI, mobile_model(), mode), batch)
    assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


def fused_as_on_arm(model: ModelProto, folder: Path) -> Counter[str]:
    """Fusion as on Arm: elsewhere ONNX Runtime needs an option to fuse signed activations."""
    options = ort.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "arm.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=[CPU])
    return Counter(n.op_type for n in onnx.load(folder / "arm.onnx").graph.node)


def test_the_signed_build_runs_in_integer_kernels(tmp_path: Path) -> None:
    ours = fused_as_on_arm(build_for(TargetName.ARM, mobile_model()), tmp_path)
    theirs = fused(build_for(TargetName.X86_VNNI, mobile_model()), tmp_path)
    assert ours["QLinearConv"] == theirs["QLinearConv"] == 8
    assert ours["QLinearMul"] == theirs["QLinearMul"]


@pytest.mark.parametrize("made", [tiny_se_model, mobile_model])
def test_symmetric_activations_have_sufficient_sqnr(made: object) -> None:
    """After ReLU half of the levels are unused: about 6 dB less than with a zero point."""
    batch = np.concatenate(batches())
    model = made()  # type: ignore[operator]
    exact = scores(model, batch)
    near = sqnr_db(exact, scores(build_for(TargetName.TENSORRT, model), batch))
    assert near > 15
    assert near > sqnr_db(exact, scores(build_for(TargetName.X86_VNNI, model), batch)) - 9


def test_tensorrt_quantizes_only_the_inputs_of_convolutions() -> None:
    model = build_for(TargetName.TENSORRT, mobile_model())
    rounded = {n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    consumers = {n.input[0] for n in model.graph.node if n.op_type in ("Conv", "Gemm")}
    assert len(consumers) == 7
    assert all(name.partition("/for/")[0] in rounded for name in consumers)
    assert not rounded & {"c", "d", "q"}, "a HardSwish or a sum joins the convolution before it"
    assert any(name.startswith("e") for name in rounded), "what the SE squeeze reads is stored"
    assert "HardSigmoid" in {n.op_type for n in model.graph.node}


def test_an_excluded_layer_is_in_float_for_tensorrt_too() -> None:
    target = get_target(TargetName.TENSORRT)
    prepared = prepare(mobile_model(), calibration(), frozenset({"p"}), target)
    built, _ = quantize(prepared, target)
    kept = next(n for n in built.graph.node if n.output[0] == "p")
    constants = {t.name: numpy_helper.to_array(t) for t in built.graph.initializer}
    assert constants[kept.input[1]].dtype == np.float32
    assert np.isfinite(session_of(built, 1).run(None, {"input": batches(1)[0]})[0]).all()


def test_signed_and_unsigned_qparams_cover_the_same_range() -> None:
    for low, high in [(-1.0, 3.0), (0.0, 6.0), (-2.0, -1.0), (0.0, 0.0)]:
        unsigned, signed = (
            compute_qparams(low, high),
            compute_qparams(low, high, Activations.SIGNED),
        )
        assert (signed.scale, signed.zero_point) == (unsigned.scale, unsigned.zero_point - 128)
        symmetric = compute_qparams(low, high, Activations.SYMMETRIC)
        assert symmetric.zero_point == 0
        assert 127 * symmetric.scale >= max(abs(min(low, 0)), abs(max(high, 0))) - symmetric.scale
