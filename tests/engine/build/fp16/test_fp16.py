"""fp16: what does not fit stays in float, seen with arithmetic that really is in half precision."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from engine.build.fp16.conversion import convert
from engine.build.fp16.emulation import imitate
from engine.build.fp16.fallback import Kept, keep_in_float
from engine.build.fp16.limits import LIMIT
from engine.build.fp16.value_ranges import extremes_of
from engine.errors import BuildFailed
from engine.runtimes.observing import session_of
from tests.support.mobile import batches, mobile_model, scores, sqnr_db
from tests.support.tiny import SIDE, tiny_se_model

make = helper.make_node


def graph_of(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], channels: int = 3
) -> ModelProto:
    """From `input` (batch, channels, SIDE, SIDE) to `logits` (batch, 4)."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [2, channels, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [2, 4])],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def loud_model(gain: float = 3e5) -> ModelProto:
    """conv -> x gain -> Relu -> conv / gain -> pool -> gemm: the middle exceeds half precision."""
    random = np.random.default_rng(4)
    constants = {
        "quiet.weight": random.normal(0, 0.3, (6, 3, 3, 3)),
        "loud.weight": random.normal(0, 0.3, (6, 6, 1, 1)) * gain**0.5,
        "louder.weight": random.normal(0, 0.3, (6, 6, 1, 1)) * gain**0.5,
        "calm.weight": random.normal(0, 0.3, (6, 6, 1, 1)) / gain,
        "fc": random.normal(0, 0.5, (4, 6)),
    }
    nodes = [
        make("Conv", ["input", "quiet.weight"], ["a"], name="quiet", pads=[1, 1, 1, 1]),
        make("Conv", ["a", "loud.weight"], ["b"], name="loud"),
        make("Conv", ["b", "louder.weight"], ["c"], name="louder"),
        make("Relu", ["c"], ["d"], name="relu"),
        make("Conv", ["d", "calm.weight"], ["e"], name="calm"),
        make("GlobalAveragePool", ["e"], ["p"], name="pool"),
        make("Flatten", ["p"], ["f"], name="flatten"),
        make("Gemm", ["f", "fc"], ["logits"], name="head", transB=1),
    ]
    return graph_of(nodes, constants)


def kept_of(model: ModelProto, given: list[np.ndarray] | None = None) -> list[Kept]:
    return keep_in_float(model, extremes_of(model, given or batches(3, 2), 1))


def truly_in_half(model: ModelProto, kept: list[Kept], batch: np.ndarray) -> np.ndarray:
    """Scores by numpy in the types that the graph says: nothing is computed in float behind it."""
    half = convert(model, frozenset(one.output for one in kept))
    onnx.checker.check_model(half, full_check=True)
    with np.errstate(all="ignore"):
        return np.asarray(ReferenceEvaluator(half).run(None, {"input": batch})[0])


def test_a_network_that_overflows_is_finite_and_close_thanks_to_the_list() -> None:
    model, batch = loud_model(), batches(1, 2)[0]
    exact = scores(model, batch)
    assert not np.isfinite(truly_in_half(model, [], batch)).all(), "else the test shows nothing"
    kept = kept_of(model)
    assert [one.node for one in kept] == ["louder", "relu", "calm"]
    assert kept[0].reason.startswith("outputs values up to ")
    assert kept[2].reason.startswith("reads values up to ")
    found = truly_in_half(model, kept, batch)
    assert np.isfinite(found).all()
    assert sqnr_db(exact, found) > 45


def test_the_extremes_are_those_of_numpy() -> None:
    model, given = loud_model(), batches(3, 2)
    shown = ModelProto()
    shown.CopyFrom(model)
    names = ["a", "b", "c", "d", "e", "p"]
    shown.graph.output.extend(helper.make_tensor_value_info(n, 1, None) for n in names)
    session = session_of(shown, 1)
    every = [session.run(names, {"input": batch}) for batch in given]
    found = extremes_of(model, given, 1)
    for place, name in enumerate(names):
        largest = max(float(np.abs(values[place]).max()) for values in every)
        assert found.values[name] == pytest.approx(largest, rel=1e-5)
    sums = max(float(np.abs(v[4]).sum(axis=(2, 3)).max()) for v in every)
    assert found.sums == {"p": pytest.approx(sums, rel=1e-4)}
    assert found.largest[0] in ("c", "d")


def test_a_pooling_whose_sum_does_not_fit_is_kept() -> None:
    """Each value and the mean fit; 256 of them added up do not."""
    constants = {"k": np.full((1, 3, 1, 1), 300.0), "w": np.full((4, 3), 1e-3)}
    nodes = [
        make("Mul", ["input", "k"], ["a"], name="gain"),
        make("GlobalAveragePool", ["a"], ["p"], name="squeeze"),
        make("Flatten", ["p"], ["f"], name="flatten"),
        make("Gemm", ["f", "w"], ["logits"], name="head", transB=1),
    ]
    kept = kept_of(graph_of(nodes, constants), [np.ones((2, 3, SIDE, SIDE), np.float32)])
    assert [(one.node, one.op) for one in kept] == [("squeeze", "GlobalAveragePool")]
    assert kept[0].reason == "sums up to 7.68e+04 before dividing; the fp16 maximum is 65504"
    quieter = kept_of(graph_of(nodes, constants), [np.full((2, 3, SIDE, SIDE), 0.3, np.float32)])
    assert quieter == []


@pytest.mark.parametrize(
    ("factor", "reason"),
    [(1e-9, "has weights of at most"), (1e6, "has weights up to"), (1.0, None)],
)
def test_weights_that_do_not_fit_are_kept(factor: float, reason: str | None) -> None:
    model, batch = loud_model(gain=1.0), batches(1, 2)[0] * min(1.0, 1 / factor)
    values = {t.name: t for t in model.graph.initializer}
    weights = numpy_helper.to_array(values["quiet.weight"]) * np.float32(factor)
    values["quiet.weight"].CopyFrom(numpy_helper.from_array(weights, "quiet.weight"))
    kept = {one.node: one.reason for one in kept_of(model, [batch])}
    if reason is None:
        assert kept == {}
    else:
        assert reason in kept["quiet"]


def test_only_what_does_not_fit_is_in_float() -> None:
    """Between two nodes in float a tensor stays in float; all others are in half precision."""
    model = loud_model()
    half = convert(model, frozenset(one.output for one in kept_of(model)))
    weights = {t.name: t.data_type for t in half.graph.initializer}
    assert weights == {
        "quiet.weight/half": TensorProto.FLOAT16,
        "loud.weight/half": TensorProto.FLOAT16,
        "louder.weight": TensorProto.FLOAT,
        "calm.weight": TensorProto.FLOAT,
        "fc/half": TensorProto.FLOAT16,
    }
    assert half.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert half.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    casts = {n.input[0] for n in half.graph.node if n.op_type == "Cast"}
    assert casts == {"input", "b", "e", "logits/half"}


@pytest.mark.parametrize("made", [tiny_se_model, mobile_model, loud_model])
def test_the_imitation_computes_what_half_precision_does(made: object) -> None:
    model = made()  # type: ignore[operator]
    batch = batches(1, 2)[0]
    exact, kept = scores(model, batch), kept_of(model)
    real = truly_in_half(model, kept, batch)
    imitated = scores(imitate(model, frozenset(one.output for one in kept)), batch)
    # numpy adds up in half precision too, which costs it some more.
    assert -3 < sqnr_db(exact, imitated) - sqnr_db(exact, real) < 16
    assert 40 < sqnr_db(exact, imitated) < 90, "rounded, and not more than half precision does"


def test_the_imitation_overflows_where_half_precision_does() -> None:
    model, batch = loud_model(), batches(1, 2)[0]
    assert not np.isfinite(scores(imitate(model, frozenset()), batch)).all()


def test_onnx_runtime_gives_the_same_of_the_converted_graph() -> None:
    model, batch = loud_model(), batches(1, 2)[0]
    half = convert(model, frozenset(one.output for one in kept_of(model)))
    assert sqnr_db(scores(model, batch), scores(half, batch)) > 45


def test_an_output_that_is_also_read_inside_is_written_once() -> None:
    model, batch = loud_model(1.0), batches(1, 2)[0]
    model.graph.node.append(make("Softmax", ["logits"], ["scores"], name="softmax"))
    model.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, [2, 4]))
    half = convert(model, frozenset())
    onnx.checker.check_model(half, full_check=True)
    found = session_of(half, 1).run(None, {"input": batch})
    assert [one.dtype for one in found] == [np.float32, np.float32]
    np.testing.assert_allclose(found[1].sum(axis=1), 1, atol=2e-3)


def test_a_tensor_that_is_not_finite_in_fp32_is_named() -> None:
    poisoned = batches(1, 2)[0]
    poisoned[0, 0, 0, 0] = np.nan
    with pytest.raises(BuildFailed, match=r"Tensor 'input' .*not finite in fp32 already"):
        kept_of(loud_model(), [poisoned])


def test_what_has_no_kernel_stays_in_float() -> None:
    constants = {"w": np.full((4, 3), 0.5)}
    nodes = [
        make("GlobalAveragePool", ["input"], ["p"], name="pool"),
        make("Flatten", ["p"], ["f"], name="flatten"),
        make("Cos", ["f"], ["g"], name="cosine"),
        make("Gemm", ["g", "w"], ["logits"], name="head", transB=1),
    ]
    kept = kept_of(graph_of(nodes, constants))
    assert [(one.node, one.reason) for one in kept] == [("cosine", "Cos is not supported in fp16")]


def test_the_limit_leaves_room_for_images_that_were_not_seen() -> None:
    assert LIMIT == 65504 / 2
