"""A tiny MobileNet-like network, and what tests of its int8 forms measure."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from engine.build.int8.pipeline import Calibration
from engine.build.int8.targets import get_target
from engine.runtimes.observing import session_of
from engine.specs import TargetName
from tests.support.tiny import SIDE

VNNI = get_target(TargetName.X86_VNNI)


def batches(count: int = 3, size: int = 4) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.normal(0, 1, (size, 3, SIDE, SIDE)).astype(np.float32) for _ in range(count)]


def mobile_model() -> ModelProto:
    """conv -> HardSwish -> depthwise -> HardSwish -> SE -> pointwise + skip -> mean -> gemm.

    The channels of the depthwise convolutions differ in size by a thousand, as in real networks.
    """
    random = np.random.default_rng(1)
    sizes = np.logspace(-1.5, 1.5, 8)[:, None, None, None]
    constants = {
        "w": random.normal(0, 0.3, (8, 3, 3, 3)) * sizes,
        "b": random.normal(0, 0.3, 8) * sizes[:, 0, 0, 0],
        "dw": random.normal(0, 0.5, (8, 1, 3, 3)) / sizes,
        "db": random.normal(0, 0.3, 8),
        "w1": random.normal(0, 0.5, (4, 8, 1, 1)),
        "w2": random.normal(0, 0.5, (8, 4, 1, 1)),
        "pw": random.normal(0, 0.4, (8, 8, 1, 1)),
        "pw2": random.normal(0, 0.4, (8, 8, 1, 1)),
        "fc": random.normal(0, 0.8, (4, 8)),
    }
    initializers = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()]
    initializers.append(numpy_helper.from_array(np.array([-1, -2]), "axes"))
    make = helper.make_node
    nodes = [
        make("Conv", ["input", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        make("HardSwish", ["c"], ["h"]),
        make("Conv", ["h", "dw", "db"], ["d"], pads=[1, 1, 1, 1], group=8),
        make("HardSwish", ["d"], ["e"]),
        make("ReduceMean", ["e", "axes"], ["s"], keepdims=1),
        make("Conv", ["s", "w1"], ["e1"]),
        make("Relu", ["e1"], ["e2"]),
        make("Conv", ["e2", "w2"], ["e3"]),
        make("HardSigmoid", ["e3"], ["g"], alpha=1 / 6, beta=0.5),
        make("Mul", ["e", "g"], ["m"]),
        make("Conv", ["m", "pw"], ["p"]),
        make("Conv", ["p", "pw2"], ["q"]),
        make("Add", ["p", "q"], ["a"]),
        make("ReduceMean", ["a", "axes"], ["mean"], keepdims=0),
        make("Gemm", ["mean", "fc"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "mobile",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def scores(model: ModelProto, batch: np.ndarray) -> np.ndarray:
    """What a model computes on a batch, by one thread."""
    return np.asarray(session_of(model, 1).run(None, {"input": batch})[0])


def calibration(mode: str = "max", images: list[np.ndarray] | None = None) -> Calibration:
    given = batches() if images is None else images
    return Calibration(lambda: iter(given), mode, 99.999, 1, lambda stage, seen: None)


def fused(model: ModelProto, folder: Path) -> Counter[str]:
    session_of(model, 1, folder / "fused.onnx")
    return Counter(n.op_type for n in onnx.load(folder / "fused.onnx").graph.node)


def sqnr_db(exact: np.ndarray, rounded: np.ndarray) -> float:
    return float(10 * np.log10((exact**2).sum() / ((exact - rounded) ** 2).sum()))
