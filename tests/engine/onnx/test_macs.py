from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from engine.config import REPOSITORY
from engine.errors import ArtifactMissing, CheckpointRejected, ExportFailed
from engine.onnx.macs import Compute, count_compute

pytestmark = pytest.mark.integration

CATALOG = REPOSITORY / "engine" / "catalog" / "catalog.csv"


def graph(
    nodes: list[onnx.NodeProto], shape: list[int | str], domain: str = "", **weights: Any
) -> ModelProto:
    """A model from `x` to the last node's output; a weight is an array or the shape of one."""
    rng = np.random.default_rng(0)
    arrays = {
        name: value if isinstance(value, np.ndarray) else rng.normal(size=value).astype(np.float32)
        for name, value in weights.items()
    }
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        ),
        opset_imports=opsets,
        ir_version=8,
    )


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"the_{op}", **attributes)


def test_a_convolution_by_its_closed_form() -> None:
    model = graph(
        [node("Conv", "x w b", group=4, strides=[2, 1], pads=[1, 2, 1, 2], dilations=[1, 2])],
        ["batch", 8, 17, 20],
        w=(12, 2, 3, 5),
        b=(12,),
    )
    height, width = (17 + 2 - 3) // 2 + 1, 20 + 4 - (2 * 4 + 1) + 1
    outputs = 12 * height * width
    macs = outputs * 2 * 3 * 5
    assert count_compute(model) == Compute(macs, 12 * 2 * 3 * 5 + 12, outputs, {"Conv": macs})


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_by_its_closed_form(transposed: int) -> None:
    model = graph(
        [
            node("Transpose", "x", "t", perm=[1, 0] if transposed else [0, 1]),
            node("Gemm", "t w b", transA=transposed, transB=1),
        ],
        ["n", 30],
        w=(7, 30),
        b=(7,),
    )
    assert count_compute(model, batch=3) == Compute(210, 217, 7, {"Gemm": 210})


def test_matmul_by_its_closed_form_with_the_bias_that_follows() -> None:
    nodes = [node("MatMul", "x w", "m"), node("Add", "m b", "a"), node("Add", "a three")]
    model = graph(nodes, ["n", 5, 30], w=(30, 7), b=(7,), three=np.float32([3]))
    assert count_compute(model) == Compute(5 * 210, 217, 35, {"MatMul": 5 * 210})


def test_a_product_of_two_activations_has_macs_and_no_parameters() -> None:
    nodes = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t")]
    found = count_compute(graph(nodes, ["n", 5, 30]))
    assert (found.macs, found.parameters, found.activations) == (5 * 5 * 30, 0, 25)


def test_what_is_not_a_layer_costs_nothing() -> None:
    nodes = [
        node("BatchNormalization", "x scale bias mean var", "b"),
        node("Relu", "b", "r"),
        node("Mul", "r r", "m"),
        node("GlobalAveragePool", "m"),
    ]
    shapes = dict.fromkeys(("scale", "bias", "mean", "var"), (6,))
    assert count_compute(graph(nodes, ["n", 6, 9, 9], **shapes)) == Compute(0, 12, 0, {})


def test_equal_weights_stored_once_count_for_each_layer() -> None:
    nodes = [node("Conv", "x w b", "c"), node("Conv", "c w b")]
    assert count_compute(graph(nodes, ["n", 4, 3, 3], w=(4, 4, 1, 1), b=(4,))).parameters == 40


def test_weights_may_be_constant_nodes() -> None:
    weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32))
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    found = count_compute(graph([constant, node("Conv", "x w")], ["n", 3, 8, 8]))
    assert (found.macs, found.parameters) == (4 * 3 * 64, 12)


def test_local_functions_are_looked_into() -> None:
    model = graph([node("Block", "x w", domain="local")], ["n", 3, 8, 8], "local", w=(4, 3, 1, 1))
    body = [helper.make_node("Conv", ["a", "b"], ["c"])]
    model.functions.append(
        helper.make_function(
            "local", "Block", ["a", "b"], ["c"], body, [helper.make_opsetid("", 17)]
        )
    )
    assert count_compute(model).macs_by_op == {"Conv": 4 * 3 * 64}


@pytest.mark.parametrize("dimension", ["n", "", 1, 6])
def test_figures_are_per_image_whatever_the_batch(dimension: int | str) -> None:
    model = graph([node("Conv", "x w")], [dimension, 3, 8, 8], w=(4, 3, 3, 3))
    stale = helper.make_tensor_value_info("y", TensorProto.FLOAT, [99, 99])
    model.graph.value_info.append(stale)
    for batch in (1, 5):
        assert count_compute(model, batch).macs == 4 * 36 * 27
        assert count_compute(model, batch).activations == 4 * 36


def test_gmacs_are_half_of_gflops() -> None:
    assert Compute(4_091_700_000, 0, 0, {}).compute_gmacs == pytest.approx(8.1834 / 2)


def branching(inside: str) -> ModelProto:
    """An If whose branches hold one operator."""
    branch = helper.make_graph(
        [helper.make_node(inside, ["x", "x"][: 1 + (inside == "Conv")], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
    )
    chosen = helper.make_node(
        "If", ["on"], ["y"], name="the_If", then_branch=branch, else_branch=branch
    )
    return graph([chosen], ["n", 3, 8, 8], on=np.array(True))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (graph([node("Conv", "x w")], ["n", 3, "h", "w"], w=(4, 3, 3, 3)), "the_Conv"),
        (graph([node("Conv", "x w")], ["n", 5, 8, 8], w=(4, 3, 99, 99)), "the_Conv"),
        (graph([node("Conv", "x missing")], ["n", 3, 8, 8]), "the_Conv"),
        (graph([node("Conv", "x")], ["n", 3, 8, 8]), "the_Conv"),
        (graph([node("MatMul", "x")], ["n", 3]), "the_MatMul"),
        (graph([node("Gemm", "x w")], ["n", 3, 3], w=(3, 3)), "the_Gemm"),
        (graph([node("ConvTranspose", "x w")], ["n", 3, 8, 8], w=(3, 4, 3, 3)), "ConvTranspose"),
        (graph([node("Odd", "x", domain="acme")], ["n", 3], "acme"), "the_Odd"),
        (branching("Conv"), "the_If"),
    ],
)
def test_what_cannot_be_counted_is_named(model: ModelProto, words: str) -> None:
    found = count_compute(model)
    assert found.macs is None
    assert found.compute_gmacs is None
    assert words in str(found.unknown)


def test_branches_that_multiply_nothing_cost_nothing() -> None:
    assert count_compute(branching("Softmax")).macs == 0


def test_operators_that_only_move_values_cost_nothing() -> None:
    nodes = [node("QLinearConcat", "x", "c", domain="com.microsoft"), node("Relu", "c")]
    assert count_compute(graph(nodes, ["n", 3, 8, 8], "com.microsoft")).macs == 0


def test_shapes_of_a_run_count_where_inference_ends() -> None:
    nodes = [node("QLinearConcat", "x", "c", domain="com.microsoft"), node("Conv", "c w")]
    model = graph(nodes, ["n", 3, 8, 8], "com.microsoft", w=(4, 3, 1, 1))
    assert count_compute(model).macs is None
    measured = {"c": (1, 3, 8, 8), "y": (1, 4, 8, 8)}
    assert count_compute(model, shapes=measured).macs == 4 * 3 * 64


def test_a_graph_without_input_is_refused() -> None:
    with pytest.raises(ExportFailed, match="no input"):
        count_compute(ModelProto())


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([helper.make_node("Relu", ["x"], [])], "without an output"),
        ([node("Relu", "y", "z"), node("Relu", "z")], "has a cycle"),
    ],
)
def test_a_graph_that_is_not_valid_gives_one_sentence(
    nodes: list[onnx.NodeProto], words: str
) -> None:
    model = graph([node("Relu", "x")], ["n", 3])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    with pytest.raises(ExportFailed, match=words) as caught:
        count_compute(model)
    assert "\n" not in str(caught.value)


def test_a_shape_that_the_graph_computes_is_followed() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s first", "n"),
        node("Concat", "n rest", "target", axis=0),
        node("Reshape", "x target", "flat"),
        node("Gemm", "flat w"),
    ]
    indices = {"first": np.int64([0]), "rest": np.int64([-1])}
    found = count_compute(graph(nodes, ["n", 4, 3, 2], w=(24, 5), **indices), batch=2)
    assert (found.macs, found.parameters) == (24 * 5, 24 * 5)


def test_weights_may_be_declared_as_inputs_too() -> None:
    model = graph([node("Conv", "x w")], ["n", 3, 8, 8], w=(4, 3, 3, 3))
    model.graph.input.insert(0, helper.make_tensor_value_info("w", TensorProto.FLOAT, (4, 3, 3, 3)))
    assert count_compute(model) == Compute(4 * 36 * 27, 108, 144, {"Conv": 4 * 36 * 27})


def test_nodes_may_stand_in_any_order() -> None:
    nodes = [node("Conv", "r w"), node("Relu", "x", "r")]
    assert count_compute(graph(nodes, ["n", 3, 8, 8], w=(4, 3, 1, 1))).macs == 4 * 3 * 64


def test_a_file_is_read_without_its_weights(tmp_path: Path) -> None:
    model = graph([node("Conv", "x w b")], ["n", 3, 8, 8], w=(64, 3, 3, 3), b=(64,))
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="model.data", size_threshold=0)
    (tmp_path / "model.data").unlink()
    assert count_compute(path).parameters == 64 * 28


def test_files_that_are_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match=r"none\.onnx"):
        count_compute(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_bytes(b"\xff\xd8 not a model")
    with pytest.raises(CheckpointRejected, match=r"text\.onnx"):
        count_compute(tmp_path / "text.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(ExportFailed, match="no input"):
        count_compute(tmp_path / "empty.onnx")


class SmallSE(nn.Module):
    """Every kind of layer of an SE network, small: stem, grouped and dilated convolutions, SE."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8))
        self.block = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu()
        y = self.block(x)
        gate = self.excite(self.squeeze(y.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return self.head((x + y * gate).relu().mean((2, 3)))


def with_random_norms(model: nn.Module) -> nn.Module:
    """An untrained BatchNorm folds into a bias of zeros, which the exporter leaves out."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias)
    return model


def export(model: nn.Module, side: int) -> ModelProto:
    batch = {0: torch.export.Dim("batch")}
    program = torch.onnx.export(
        model.eval(), (torch.zeros(1, 3, side, side),), dynamo=True, dynamic_shapes=(batch,)
    )
    assert program is not None
    return program.model_proto


def torch_figures(model: nn.Module, side: int) -> tuple[int, int, int]:
    """MACs, parameters with each BatchNorm folded into one bias, outputs of conv and linear."""
    outputs: list[int] = []
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [m.register_forward_hook(lambda _m, _i, y: outputs.append(y.numel())) for m in layers]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return counter.get_total_flops() // 2, folded_parameters(model), sum(outputs)


def folded_parameters(model: nn.Module) -> int:
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    return sum(p.numel() for p in model.parameters()) - sum(m.num_features for m in norms)


class OneImage(CalibrationDataReader):
    def __init__(self) -> None:
        self.left = [{"x": np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype("f4")}]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self.left.pop() if self.left else None


def test_every_precision_of_a_network_has_the_figures_of_torch(tmp_path: Path) -> None:
    network = with_random_norms(SmallSE())
    fp32, static = tmp_path / "fp32.onnx", {"weight_type": QuantType.QInt8, "per_channel": True}
    onnx.save(export(network, 16), fp32)
    builds = {kind: tmp_path / f"{kind}.onnx" for kind in ("fp16", "qdq", "qoperator", "dynamic")}
    onnx.save(convert_float_to_float16(onnx.load(fp32), keep_io_types=True), builds["fp16"])
    quantize_static(fp32, builds["qdq"], OneImage(), quant_format=QuantFormat.QDQ, **static)
    quantize_static(
        fp32, builds["qoperator"], OneImage(), quant_format=QuantFormat.QOperator, **static
    )
    quantize_dynamic(fp32, builds["dynamic"], weight_type=QuantType.QUInt8)

    expected = torch_figures(network, 16)
    for path in (fp32, *builds.values()):
        found = count_compute(path)
        assert (found.macs, found.parameters, found.activations) == expected, path.stem
    operators = {n.op_type for path in builds.values() for n in onnx.load(path).graph.node}
    assert {"DequantizeLinear", "QLinearConv", "QLinearMul", "ConvInteger", "Cast"} <= operators


@pytest.mark.parametrize(
    "name", ["legacy_seresnet18", pytest.param("seresnext26d_32x4d", marks=pytest.mark.slow)]
)
def test_a_timm_network_has_the_figures_of_torch(name: str) -> None:
    import timm

    network = with_random_norms(timm.create_model(name))
    found = count_compute(export(network, 64), batch=2)
    assert (found.macs, found.parameters, found.activations) == torch_figures(network, 64)


# GMACs and millions of parameters (before folding) at the sizes of the catalog: torch's
# FlopCounterMode / 2 on timm 1.0.31's modules, taken outside this project's code.
PUBLISHED = {
    "seresnet50": (4.09170, 28.0880),
    "seresnet152d": (23.99071, 66.8411),
    "seresnext26d_32x4d": (2.71174, 16.8095),
    "seresnext26t_32x4d": (2.68013, 16.8070),
    "seresnext50_32x4d": (4.23299, 27.5599),
    "seresnext101_32x8d": (27.13678, 93.5690),
    "seresnext101d_32x8d": (27.53292, 93.5883),
    "legacy_senet154": (20.68836, 115.0890),
    "legacy_seresnet18": (1.81416, 11.7786),
    "legacy_seresnet34": (3.66392, 21.9589),
    "legacy_seresnet50": (3.86049, 28.0880),
    "legacy_seresnet101": (7.57494, 49.3269),
    "legacy_seresnet152": (11.28899, 66.8218),
    "legacy_seresnext26_32x4d": (2.47210, 16.7903),
    "legacy_seresnext50_32x4d": (4.23299, 27.5599),
    "legacy_seresnext101_32x4d": (7.97474, 48.9554),
}


def catalog_sizes() -> dict[str, int]:
    with CATALOG.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["source"] == "timm"]
    return {row["name"]: int(row["input_size"]) for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_catalog_has_its_reference_figures(name: str) -> None:
    import timm

    network = with_random_norms(timm.create_model(name))
    found = count_compute(export(network, catalog_sizes()[name]))
    gmacs, parameters_m = PUBLISHED[name]
    assert round(found.compute_gmacs, 5) == gmacs
    unfolded = found.parameters + sum(p.numel() for p in network.parameters())
    assert round((unfolded - folded_parameters(network)) / 1e6, 4) == parameters_m


@pytest.mark.slow
def test_the_reference_figures_cover_the_timm_rows_of_the_catalog() -> None:
    assert set(catalog_sizes()) == set(PUBLISHED)


@pytest.mark.real
def test_a_foreign_file_has_the_figures_of_its_network() -> None:
    folder = os.environ.get("SENET_REAL_DATA")
    if not folder:
        pytest.skip("SENET_REAL_DATA is not set")
    found = count_compute(Path(folder, "weights", "squeezenet1_1.onnx"))
    assert found.parameters == 1_235_496  # torchvision's squeezenet1_1
    assert found.compute_gmacs == pytest.approx(0.349, abs=0.0005)
