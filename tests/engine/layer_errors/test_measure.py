"""Layer errors: three columns, faults planted in a file, a runtime that computes otherwise."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from engine.build.int8.mixed_precision.sensitivity import relative_noise
from engine.build.int8.pipeline import prepare, quantize
from engine.layer_errors import measure as measuring
from engine.layer_errors.findings import findings_of
from engine.layer_errors.measure import Measured, measure_layer_errors
from engine.layer_errors.records import HARD_SWISH_GATE, TensorErrors
from engine.layer_errors.reference import Reference
from engine.runtimes.observing import plain_session_of
from engine.runtimes.tensor_readers import EMULATED, READABLE, Reader, open_reader
from tests.support.mobile import VNNI, batches, calibration, mobile_model, scores
from tests.support.tiny import tiny_se_model

IMAGES = np.concatenate(batches(1, 2))


@cache
def prepared_of(made: Callable[[], ModelProto]) -> tuple[ModelProto, Reference]:
    source = made()
    prepared = prepare(source, calibration("mse"))
    return quantize(prepared, VNNI)[0], Reference.of(source, prepared.channel_factors)


def int8_of(made: Callable[[], ModelProto]) -> tuple[ModelProto, Reference]:
    """The int8 model, which a test may change, and its fp32."""
    model, reference = prepared_of(made)
    copied = ModelProto()
    copied.CopyFrom(model)
    return copied, reference


def errors_of(
    model: ModelProto, reference: Reference | None, runtimes: tuple[str, ...] = ()
) -> Measured:
    single = (image[None] for image in IMAGES)
    return measure_layer_errors(model, single, runtimes, 1, reference)


def with_scaled(model: ModelProto, name: str, factor: float) -> ModelProto:
    changed = ModelProto()
    changed.CopyFrom(model)
    (tensor,) = [tensor for tensor in changed.graph.initializer if tensor.name == name]
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array((values * factor).astype(values.dtype), name))
    return changed


@pytest.mark.parametrize("made", [tiny_se_model, mobile_model])
def test_good_builds_have_three_columns_and_no_finding(made: Callable[[], ModelProto]) -> None:
    source = made()
    model, reference = int8_of(made)
    measured = errors_of(model, reference, READABLE)
    assert measured.images == len(IMAGES)
    assert measured.missing == {}
    assert findings_of(measured.tensors) == []
    by_name = {one.tensor: one for one in measured.tensors}
    for one in measured.tensors:
        assert one.single_db is not None
        assert one.accumulated_db is not None
        assert one.accumulated_db < one.single_db + 1
        assert set(one.runtimes) == set(READABLE)
        for found in one.runtimes.values():
            assert found.single_db == pytest.approx(one.single_db, abs=0.5)
            assert found.levels <= 1
    roles = [one.se_role for one in measured.tensors if one.se_role]
    assert roles[0] == "squeeze"
    assert roles[-2:] == ["SE gate", "gated map"]
    # The last row is the network itself: its noise is that of the scores, computed apart.
    session = plain_session_of(model, 1)
    parts = [session.run(None, {"input": image[None]})[0] for image in IMAGES]
    rounded, exact = np.concatenate(parts), scores(source, IMAGES)
    expected = -10 * np.log10(((rounded - exact) ** 2).sum() / (exact**2).sum())
    assert by_name["logits"].accumulated_db == pytest.approx(expected, abs=0.1)
    assert relative_noise(rounded, exact) < 1e-3


def first_finding(model: ModelProto, reference: Reference) -> str:
    return findings_of(errors_of(model, reference).tensors)[0]


@pytest.mark.parametrize("factor", [0.25, 0.5, 1 / 1.5, 1.5, 2.0, 4.0])
@pytest.mark.parametrize(
    ("planted", "layer"),
    [("c/w/steps", "w"), ("p/w/steps", "pw"), ("q/w/steps", "pw2"), ("logits/w/steps", "fc")],
)
def test_a_wrong_scale_of_weights_is_found_in_its_layer(
    planted: str, layer: str, factor: float
) -> None:
    model, reference = int8_of(mobile_model)
    first = first_finding(with_scaled(model, planted, factor), reference)
    assert first.startswith(f"{layer}: ")
    assert "are wrong" in first


@pytest.mark.parametrize(
    ("planted", "factor", "layer", "reason"),
    [
        ("p/step", 4.0, "pw", "scale is too large"),
        ("p/step", 16.0, "pw", "scale is too large"),
        ("p/step", 0.25, "pw", "outside its range"),
        ("g/scaled/step", 0.125, "g/scaled", "outside its range"),
    ],
)
def test_a_wrong_scale_of_values_is_found_in_its_layer(
    planted: str, factor: float, layer: str, reason: str
) -> None:
    model, reference = int8_of(mobile_model)
    first = first_finding(with_scaled(model, planted, factor), reference)
    assert first.startswith(f"{layer}: ")
    assert reason in first


def test_a_wrong_zero_point_is_found() -> None:
    model, reference = int8_of(mobile_model)
    writer = next(node for node in model.graph.node if node.output[0] == "p/stored")
    (right,) = [each for each in model.graph.initializer if each.name == writer.input[2]]
    values = numpy_helper.to_array(right)
    wrong = np.where(values < 128, values + 3, values - 3).astype(values.dtype)
    other = numpy_helper.from_array(wrong, "other")
    model.graph.initializer.append(other)
    writer.input[2] = "other"
    first = first_finding(model, reference)
    assert first.startswith(f"pw: written with zero point {wrong} and read with {values};")
    # On both sides, so that the range is moved by half.
    for node in model.graph.node:
        node.input[:] = [right.name if name == "other" else name for name in node.input]
    far = np.where(values < 128, values + 120, values - 120).astype(values.dtype)
    right.CopyFrom(numpy_helper.from_array(far, right.name))
    assert "its zero point is wrong" in first_finding(model, reference)


def test_a_gate_that_amplifies_its_input_is_no_wrong_layer() -> None:
    gate = TensorErrors(
        tensor="g", op=HARD_SWISH_GATE, single_db=30.0, deviation_levels=3.4, deviation=0.067
    )
    assert findings_of([gate]) == []
    (layer,) = findings_of([gate.model_copy(update={"op": "Conv", "layers": ["conv"]})])
    assert layer.startswith("conv: 3.4 levels off fp32 as stored, from exact inputs (7% of")


def test_a_tensor_that_is_read_with_another_scale_is_found() -> None:
    model, reference = int8_of(mobile_model)
    other = numpy_helper.from_array(np.array(0.5, np.float32), "other")
    model.graph.initializer.append(other)
    writer = next(node for node in model.graph.node if node.output[0] == "p/stored")
    writer.input[1] = "other"
    found = findings_of(errors_of(model, reference).tensors)
    assert any("pw: written with scale 0.5 and read with" in sentence for sentence in found)


def test_a_runtime_that_computes_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model, reference = int8_of(mobile_model)

    def deviating(name: str, graph: ModelProto, precision: str, threads: int) -> Reader:
        wrong = graph if name == EMULATED else with_scaled(graph, "q/w/steps", 1.5)
        return open_reader(name, wrong, precision, threads)

    monkeypatch.setattr(measuring, "open_reader", deviating)
    (sentence,) = findings_of(errors_of(model, reference, ("onnxruntime",)).tensors)
    assert sentence.startswith("ONNX Runtime computes pw2 otherwise than the file says: ")


def test_a_runtime_that_fuses_a_network_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the graph that is not read in the middle is wrong."""
    model, reference = int8_of(mobile_model)

    def fusing(name: str, graph: ModelProto, precision: str, threads: int) -> Reader:
        is_whole = len(graph.graph.output) == 1 and name != EMULATED
        wrong = with_scaled(graph, "q/w/steps", 1.5) if is_whole else graph
        return open_reader(name, wrong, precision, threads)

    monkeypatch.setattr(measuring, "open_reader", fusing)
    (sentence,) = findings_of(errors_of(model, reference, ("onnxruntime",)).tensors)
    assert sentence.startswith("ONNX Runtime computes the whole network otherwise than the file")


def test_a_bias_that_a_runtime_reads_with_another_scale_is_found() -> None:
    """ONNX Runtime's QGemm takes the scale of the bias to be that of its products."""
    model, reference = int8_of(tiny_se_model)
    found = findings_of(errors_of(with_scaled(model, "p/step", 16), reference, READABLE).tensors)
    assert any(sentence.startswith("ONNX Runtime computes fc otherwise") for sentence in found)
    assert not any(sentence.startswith("OpenVINO") for sentence in found)


def test_without_fp32_the_file_is_compared_with_the_runtimes() -> None:
    model, _ = int8_of(tiny_se_model)
    for one in errors_of(model, None, ("onnxruntime",)).tensors:
        assert one.single_db is None
        assert one.runtimes["onnxruntime"].levels <= 1


def test_a_runtime_that_is_not_known_is_left_out_with_a_sentence() -> None:
    model, reference = int8_of(tiny_se_model)
    measured = errors_of(model, reference, ("torch",))
    assert "runtime torch cannot be read" in measured.missing["torch"]
    assert all(not one.runtimes for one in measured.tensors)
