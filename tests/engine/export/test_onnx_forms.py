"""ONNX files in the forms that exporters write: each is taken in and right, or refused with why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from db.enums import Precision, WeightsKind
from db.models import Artifact
from engine.benchmark import job as benchmark
from engine.build import job as build
from engine.common.digests import file_digest
from engine.datasets.registration import check_folder, register
from engine.errors import BuildFailed, CheckpointRejected, ExportFailed
from engine.export import job as export
from engine.export import onnx_import, original
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import BenchmarkSpec, BuildSpec, CalibrationSpec, ExportSpec, WeightsSpec
from engine.store import artifacts
from tests.support.gray_levels import (
    BIAS,
    CLASSES,
    FLOAT,
    PLAIN,
    SIDE,
    WEIGHTS,
    branch,
    gray_folder,
    gray_images,
    network,
    node,
)
from tests.support.tiny import Quiet

UINT8, INT8, INT32, INT64 = (
    TensorProto.UINT8,
    TensorProto.INT8,
    TensorProto.INT32,
    TensorProto.INT64,
)
HALF, DOUBLE = TensorProto.FLOAT16, TensorProto.DOUBLE
SHARP = {"sharp": np.float32(900)}


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def quantized(kind: int, zero: np.ndarray) -> ModelProto:
    after = [
        node("Mul", "s sharp", "sharper"),
        node("Softmax", "sharper", "shares", axis=1),
        node("QuantizeLinear", "shares step zero", "stored"),
    ]
    grid = {"step": np.float32(1 / 256), "zero": zero}
    gives = [("stored", ["N", CLASSES], kind)]
    return network(after=after, gives=gives, **SHARP, **grid)


def cast_scores(kind: int) -> ModelProto:
    after = [node("Mul", "s sharp", "sharper"), node("Cast", "sharper", "cast", to=kind)]
    gives = [("cast", ["N", CLASSES], kind)]
    return network(after=after, gives=gives, sharp=np.float32(10_000))


def weights_first() -> ModelProto:
    model = network(ir_version=3, opset=9)
    image = onnx.ValueInfoProto.FromString(model.graph.input[0].SerializeToString())
    del model.graph.input[:]
    for tensor in model.graph.initializer:
        declared = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(declared)
    model.graph.input.append(image)
    return model


def unsorted() -> ModelProto:
    model = network()
    nodes = [NodeProto.FromString(n.SerializeToString()) for n in reversed(model.graph.node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def in_half() -> ModelProto:
    model = network(takes=("x", ["N", 3, SIDE, SIDE], HALF), gives=[("s", ["N", CLASSES], HALF)])
    for tensor, values in zip(model.graph.initializer, (WEIGHTS, BIAS), strict=True):
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), tensor.name))
    return model


def sparse() -> ModelProto:
    """Weights stored as values and their places."""
    model = network()
    values = onnx.numpy_helper.from_array(WEIGHTS.reshape(-1), "W")
    places = onnx.numpy_helper.from_array(np.arange(WEIGHTS.size), "places")
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "W"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    stored = helper.make_sparse_tensor(values, places, WEIGHTS.shape)
    model.graph.sparse_initializer.append(stored)
    return model


def squeezed() -> ModelProto:
    """torch.squeeze of two images: of one, no batch is left before the last layer."""
    return network(
        flatten=node("Squeeze", "pooled", "flat"),
        takes=("x", [2, 3, SIDE, SIDE], FLOAT),
        gives=[("s", [2, CLASSES], FLOAT)],
    )


def quantized_layers() -> ModelProto:
    """QGemm of signed numbers alone, as onnxruntime.quantization writes QOperator files."""
    model = network(gives=[("q", ["N", CLASSES], FLOAT)])
    step = float(np.abs(WEIGHTS).max() / 127)
    constants = {
        "in step": np.float32(1 / 255),
        "zero": np.int8(-128),
        "w step": np.float32(step),
        "w zero": np.int8(0),
        "w8": np.rint(WEIGHTS / step).astype(np.int8),
        "b32": np.rint(BIAS / (step / 255)).astype(np.int32),
        "out step": np.float32(1 / 128),
        "out zero": np.int8(127),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["flat", "in step", "zero"], ["flat8"]),
        helper.make_node(
            "QGemm",
            ["flat8", "in step", "zero", "w8", "w step", "w zero", "b32", "out step", "out zero"],
            ["s8"],
            domain="com.microsoft",
        ),
        helper.make_node("DequantizeLinear", ["s8", "out step", "out zero"], ["q"]),
    ]
    kept = [NodeProto.FromString(n.SerializeToString()) for n in model.graph.node[:2]]
    del model.graph.node[:]
    model.graph.node.extend([*kept, *nodes])
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()
    )
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def baked(batch: int, declared: int | str) -> ModelProto:
    """A Reshape that holds the batch."""
    return network(
        flatten=node("Reshape", "pooled target", "flat"),
        takes=("x", [declared, 3, SIDE, SIDE], FLOAT),
        gives=[("s", [declared, CLASSES], FLOAT)],
        target=ints(batch, 3),
    )


def expanded() -> ModelProto:
    """An Expand that holds the batch: cannot be opened."""
    before = [
        node("Expand", "nothing target", "zeros"),
        node("Add", "x zeros", "y"),
    ]
    return network(
        before,
        image="y",
        takes=("x", [2, 3, SIDE, SIDE], FLOAT),
        gives=[("s", [2, CLASSES], FLOAT)],
        nothing=np.zeros((1, 3, 1, 1), np.float32),
        target=ints(2, 3, 1, 1),
    )


def padded_by_shape() -> ModelProto:
    """Pads computed from the height, as "SAME" comes out of TensorFlow; sides are open."""
    before = [
        node("Shape", "x", "shape"),
        node("Gather", "shape two", "height"),
        node("Mod", "height two", "rest"),
        node("Concat", "none none rest rest none none rest rest", "pads", axis=0),
        node("Pad", "x pads", "wider"),
        node("Conv", "wider identity", "y"),
    ]
    return network(
        before,
        image="y",
        takes=("x", ["N", 3, "H", "W"], FLOAT),
        two=ints(2),
        none=ints(0),
        identity=np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1),
    )


TO_NCHW = node("Transpose", "x", "y", perm=[0, 3, 1, 2])
SIXTEEN = {"c": np.float32(1 / 255)}
OPEN = [None, None, None, None]

FORMS: dict[str, Callable[[], ModelProto]] = {
    "opset 7": lambda: network(opset=7),
    "opset 9": lambda: network(opset=9),
    "opset 12": lambda: network(opset=12),
    "opset 21": lambda: network(opset=21),
    "weights among the inputs": weights_first,
    "nodes in any order": unsorted,
    "input called logits, output called input": lambda: network(image="logits", scores="input"),
    "inner tensor called input": lambda: network([node("Relu", "x", "input")], image="input",
                                                 takes=("x", ["N", 3, SIDE, SIDE], FLOAT)),
    "branches with our names": lambda: network(
        after=[node("If", "on", "out", then_branch=branch("Softmax", "logits"),
                    else_branch=branch("Identity", "input"))],
        gives=[("out", ["N", CLASSES], FLOAT)], on=np.array(False)),
    "batch of 1": lambda: network(takes=("x", [1, 3, SIDE, SIDE], FLOAT),
                                  gives=[("s", [1, CLASSES], FLOAT)]),
    "batch of 8": lambda: network(takes=("x", [8, 3, SIDE, SIDE], FLOAT),
                                  gives=[("s", [8, CLASSES], FLOAT)]),
    "batch in a Reshape": lambda: baked(4, 4),
    "batch in a Reshape, declared open": lambda: baked(1, "N"),
    "batch in an Expand": expanded,
    "sparse weights": sparse,
    "squeezed to one row": squeezed,
    "scores of rank 4": lambda: network(
        after=[node("Reshape", "s to4", "out")],
        gives=[("out", ["N", CLASSES, 1, 1], FLOAT)], to4=ints(-1, CLASSES, 1, 1)),
    "scores of rank 1": lambda: network(
        after=[node("Squeeze", "s first", "out")], takes=("x", [1, 3, SIDE, SIDE], FLOAT),
        gives=[("out", [CLASSES], FLOAT)], first=ints(0)),
    "open classes": lambda: network(gives=[("s", ["N", "K"], FLOAT)]),
    "no shape of the output": lambda: network(gives=[("s", None, FLOAT)]),
    "open sides": lambda: network(takes=("x", ["N", 3, "H", "W"], FLOAT)),
    "computed pads": padded_by_shape,
    "NHWC": lambda: network([TO_NCHW], image="y", takes=("x", ["N", SIDE, SIDE, 3], FLOAT)),
    "NHWC, nothing declared": lambda: network([TO_NCHW], image="y", takes=("x", OPEN, FLOAT)),
    "float16 input": lambda: network([node("Cast", "x", "y", to=FLOAT)], image="y",
                                     takes=("x", ["N", 3, SIDE, SIDE], HALF)),
    "all in float16": in_half,
    "uint8 scores": lambda: quantized(UINT8, np.uint8(0)),
    "int8 scores": lambda: quantized(INT8, np.int8(-128)),
    "int32 scores": lambda: cast_scores(INT32),
    "float64 scores": lambda: cast_scores(DOUBLE),
    "float16 scores": lambda: network(after=[node("Cast", "s", "cast", to=HALF)],
                                      gives=[("cast", ["N", CLASSES], HALF)]),
    "class beside the scores": lambda: network(
        after=[node("ArgMax", "s", "best", axis=1, keepdims=0)],
        gives=[("best", ["N"], INT64), ("s", ["N", CLASSES], FLOAT)]),
    "probabilities beside the scores": lambda: network(
        after=[node("Softmax", "s", "p", axis=1)],
        gives=[("p", ["N", CLASSES], FLOAT), ("s", ["N", CLASSES], FLOAT)]),
}  # fmt: skip
PIXELS: dict[str, Callable[[], ModelProto]] = {
    "uint8 input": lambda: network(
        [node("Cast", "x", "f", to=FLOAT), node("Mul", "f c", "y")], image="y",
        takes=("x", ["N", 3, SIDE, SIDE], UINT8), **SIXTEEN),
    "uint8 input in NHWC": lambda: network(
        [node("Cast", "x", "f", to=FLOAT), node("Mul", "f c", "g"),
         node("Transpose", "g", "y", perm=[0, 3, 1, 2])], image="y",
        takes=("x", [1, SIDE, SIDE, 3], UINT8), gives=[("s", [1, CLASSES], FLOAT)], **SIXTEEN),
}  # fmt: skip


def spec_of(model: ModelProto, folder: Path, **more: object) -> ExportSpec:
    path = folder / "mine.onnx"
    onnx.save(model, path)
    return spec_of_file(path, **more)


def spec_of_file(path: Path, **more: object) -> ExportSpec:
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(path), sha256=file_digest(path))
    return ExportSpec.model_validate(
        {"model_id": "onnx/mine", "weights": weights, "preprocess": PLAIN, **more}
    )


def take_in(url: str, folder: Path, spec: ExportSpec) -> Artifact:
    made = export.run(spec.to_json(), Quiet(url, folder / "export"))
    return artifacts.find_by_digest(made["artifact"], url)


def scores_of(artifact: Artifact, scale: float = 1.0) -> np.ndarray:
    """Scores of the twelve gray images, in one batch."""
    path = artifacts.model_path(artifact.digest)
    runtime = OnnxSession(path, "CPUExecutionProvider", 1, exact=True)
    return runtime.run(gray_images() * np.float32(scale))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_taken_in_and_right(url: str, tmp_path: Path, form: str) -> None:
    artifact = take_in(url, tmp_path, spec_of(FORMS[form](), tmp_path))
    assert scores_of(artifact).argmax(axis=1).tolist() == list(range(CLASSES))
    assert artifact.manifest["classes"] == CLASSES
    assert artifact.manifest["compute"]["gmacs"] is not None


@pytest.mark.parametrize("form", PIXELS)
def test_inputs_of_whole_numbers_take_pixels_as_they_are(
    url: str, tmp_path: Path, form: str
) -> None:
    plain = {"resize": None, "crop": SIDE}
    artifact = take_in(url, tmp_path, spec_of(PIXELS[form](), tmp_path, preprocess=plain))
    assert artifact.manifest["preprocess"]["scale"] == 1
    found = scores_of(artifact, scale=255)
    assert found.argmax(axis=1).tolist() == list(range(CLASSES))
    halved = spec_of(PIXELS[form](), tmp_path, preprocess={**PLAIN, "mean": [0.5, 0.5, 0.5]})
    with pytest.raises(ExportFailed, match=r"takes raw uint8 pixels \(0 to 255\)"):
        take_in(url, tmp_path / "b", halved)


@pytest.mark.parametrize(
    "form",
    ["opset 9", "batch in an Expand", "float64 scores", "uint8 scores", "all in float16",
     "branches with our names", "computed pads", "scores of rank 1", "sparse weights",
     "squeezed to one row"],
)  # fmt: skip
def test_int8_of_a_form_is_right_too(url: str, tmp_path: Path, form: str) -> None:
    found = check_folder(gray_folder(tmp_path / "set"), None, lambda done, total: None)
    register("grays", found, url)
    spec = spec_of(FORMS[form](), tmp_path)
    take_in(url, tmp_path, spec)
    asked = BuildSpec(
        export=spec,
        precision=Precision.INT8,
        calibration=CalibrationSpec(dataset="grays", images=60),
    )
    made = build.run(asked.to_json(), Quiet(url, tmp_path / "int8"))
    artifact = artifacts.find_by_digest(made["artifact"], url)
    assert scores_of(artifact).argmax(axis=1).tolist() == list(range(CLASSES))


def test_a_quantized_file_is_built_as_it_is(url: str, tmp_path: Path) -> None:
    model = quantized_layers()
    spec = spec_of(model, tmp_path)
    take_in(url, tmp_path, spec)
    asked = BuildSpec(export=spec, precision=Precision.FP32)
    made = build.run(asked.to_json(), Quiet(url, tmp_path / "fp32"))
    path = artifacts.model_path(artifacts.find_by_digest(made["artifact"], url).digest)
    found = OnnxSession(path, "CPUExecutionProvider", 1).run(gray_images())
    plain = onnxruntime.InferenceSession(tmp_path / "mine.onnx")
    assert np.array_equal(found, plain.run(None, {"x": gray_images()})[0])


def test_scores_that_are_all_the_same_are_told(url: str, tmp_path: Path) -> None:
    """A softmax over the batch gives each single image 1 for every class."""
    model = network(after=[node("Softmax", "s", "p", axis=0)], gives=[("p", ["N", CLASSES], FLOAT)])
    artifact = take_in(url, tmp_path, spec_of(model, tmp_path))
    assert onnx_import.CONSTANT_SCORES_NOTE in artifact.manifest["notes"]
    other = take_in(url, tmp_path / "b", spec_of(network(), tmp_path))
    assert onnx_import.CONSTANT_SCORES_NOTE not in other.manifest.get("notes", [])


def test_unsigned_scores_keep_their_scale(url: str, tmp_path: Path) -> None:
    artifact = take_in(url, tmp_path, spec_of(quantized(UINT8, np.uint8(0)), tmp_path))
    assert artifact.manifest["scores"] == "probabilities"
    assert scores_of(artifact).max() == pytest.approx(255 / 256)


def test_a_batch_that_cannot_be_opened_is_kept_and_measured_in(url: str, tmp_path: Path) -> None:
    spec = spec_of(expanded(), tmp_path)
    artifact = take_in(url, tmp_path, spec)
    assert artifact.manifest["batch"] == 2
    assert any("batch size is fixed to 2" in note for note in artifact.manifest["notes"])
    asked = BenchmarkSpec(artifact=artifact.digest, batch=1, max_s=0.4, window_s=0.05)
    context = Quiet(url, tmp_path / "speed")
    benchmark.run(asked.to_json(), context)
    assert any("Measuring fp32, batch 2" in said for said in context.said)


def test_a_mended_reshape_gives_each_image_its_own_scores(url: str, tmp_path: Path) -> None:
    artifact = take_in(url, tmp_path, spec_of(baked(4, 4), tmp_path))
    assert "batch" not in artifact.manifest
    path = artifacts.model_path(artifact.digest)
    runtime = OnnxSession(path, "CPUExecutionProvider", 1)
    images = gray_images()
    alone = np.concatenate([runtime.run(image[None]) for image in images])
    assert np.array_equal(alone, runtime.run(images))


def two_heads() -> ModelProto:
    gives = [("flat", ["N", 3], FLOAT), ("s", ["N", CLASSES], FLOAT)]
    return network(gives=gives)


def test_of_several_outputs_the_dataset_names_the_scores(url: str, tmp_path: Path) -> None:
    artifact = take_in(url, tmp_path, spec_of(two_heads(), tmp_path, classes=(CLASSES,)))
    assert "the output with the dataset's number of classes" in artifact.manifest["notes"][0]
    assert artifact.manifest["classes"] == CLASSES


def test_of_several_outputs_one_is_taken_by_name(url: str, tmp_path: Path) -> None:
    artifact = take_in(url, tmp_path, spec_of(two_heads(), tmp_path, output="flat"))
    assert artifact.manifest["classes"] == 3
    with pytest.raises(ExportFailed, match=r"no output 'head'; it has flat, s"):
        take_in(url, tmp_path / "b", spec_of(two_heads(), tmp_path, output="head"))


def test_of_outputs_that_could_all_be_the_scores_none_is_guessed(url: str, tmp_path: Path) -> None:
    after = [node("Neg", "s", "other")]
    gives = [(name, ["N", CLASSES], FLOAT) for name in ("other", "s")]
    model = network(after=after, gives=gives)
    with pytest.raises(ExportFailed, match=r"other \(12 values\), s \(12 values\). Select one"):
        take_in(url, tmp_path, spec_of(model, tmp_path, classes=(CLASSES,)))


def changed(change: Callable[[ModelProto], object]) -> Callable[[], ModelProto]:
    def make() -> ModelProto:
        model = network()
        change(model)
        return model

    return make


def far_away(location: str) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", location

    return change


REFUSED: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "gray images": (lambda: network(takes=("x", ["N", 1, SIDE, SIDE], FLOAT)),
                    r"has the shape \(\?, 1, 32, 32\) at its input 'x'; expected square color"),
    "wide images": (lambda: network(takes=("x", ["N", 3, 32, 48], FLOAT)), "expected square"),
    "text": (lambda: network(takes=("x", ["N", 3, SIDE, SIDE], TensorProto.STRING)),
             "has the data type string at its input"),
    "one score": (lambda: network(after=[node("ReduceMax", "s", "m", axes=[1])],
                                  gives=[("m", ["N", 1], FLOAT)]), "returns one score per image"),
    "a map": (lambda: network(gives=[("pooled", ["N", 3, 1, 1], FLOAT), ("x", None, FLOAT)]),
              "returns its input 'x' as an output"),
    "other classes than declared": (lambda: network(gives=[("s", ["N", 10], FLOAT)]),
                                    r"declares its output 's' as \(\?, 10\), "
                                    r"but returns \[1, 12\]"),
    "the best classes": (
        lambda: network(after=[helper.make_node("TopK", ["s", "five"], ["v", "i"])],
                        gives=[("v", ["N", 5], FLOAT), ("i", ["N", 5], INT64)], five=ints(5)),
        r"returns the top 5 classes at 'v' \(TopK\)"),
    "bfloat16 scores": (
        lambda: network(after=[node("Cast", "s", "c", to=TensorProto.BFLOAT16)],
                        gives=[("c", ["N", CLASSES], TensorProto.BFLOAT16)]),
        r"the output 'c' of type tensor\(bfloat16\)"),
    "a batch of none": (lambda: network(takes=("x", [0, 3, SIDE, SIDE], FLOAT)),
                        "declares a dimension of 0 at its input 'x'"),
    "a shape that does not run": (
        lambda: network([node("Reshape", "x to", "y")], image="y",
                        takes=("x", ["N", 3, SIDE, SIDE], FLOAT), to=ints(-1, 3, 7, 7)),
        r"does not run on images of 32 x 32: .*with an input shape that it can run"),
    "a foreign operator": (lambda: network([helper.make_node("Fancy", ["x"], ["y"],
                                                             domain="acme")], image="y",
                                           takes=("x", ["N", 3, SIDE, SIDE], FLOAT)),
                           "operator 'Fancy' of the domain 'acme'"),
    "an operator that is none": (lambda: network([node("Fancy", "x", "y")], image="y",
                                                 takes=("x", ["N", 3, SIDE, SIDE], FLOAT)),
                                 "operator 'Fancy' which is not in the standard"),
    "an opset to come": (lambda: network(opset=999), "opset 999"),
    "no such weights file": (changed(far_away("weights.bin")), "'weights.bin', which is missing"),
    "an impossible name": (changed(far_away("w" * 5000)), "a file whose name has 5000 characters"),
    "a way out of the folder": (changed(far_away("../../etc/passwd")), "not a valid ONNX model"),
    "no layers": (changed(lambda model: model.graph.ClearField("node")), "it has no layers"),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_no_classifier_gets_one_sentence(url: str, tmp_path: Path, form: str) -> None:
    make, words = REFUSED[form]
    with pytest.raises((ExportFailed, CheckpointRejected), match=words) as caught:
        take_in(url, tmp_path, spec_of(make(), tmp_path))
    assert "\n" not in str(caught.value)
    assert "mine.onnx" in str(caught.value)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\x18\x00\x00\x00ORTM" + bytes(64), "an .ort file"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(64), "a TFLite model"),
        (b"PK\x03\x04" + bytes(64), "a zip archive"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"", "is empty"),
        (b"\x08\x09 cut", "not a valid ONNX model"),
    ],
)
def test_a_file_of_another_kind_is_named(url: str, tmp_path: Path, head: bytes, words: str) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(head)
    with pytest.raises(CheckpointRejected, match=words):
        take_in(url, tmp_path, spec_of_file(path))


def endless() -> ModelProto:
    body = helper.make_graph(
        [node("Identity", "go", "on"), node("Add", "v one", "w")],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)
    constants = {"true": np.array(True), "one": np.float32(1)}
    takes = ("x", ["N", 3, SIDE, SIDE], FLOAT)
    return network([loop], image="y", takes=takes, **constants)


def test_a_loop_without_end_is_stopped(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(original, "RUN_TIMEOUT_S", 0.2)
    with pytest.raises(ExportFailed, match=r"no scores for 1 image within 0\.2 s"):
        take_in(url, tmp_path, spec_of(endless(), tmp_path))


def test_a_graph_that_the_converter_gets_wrong_stays_in_its_opset(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: ModelProto) -> ModelProto:
        made = ModelProto.FromString(model.SerializeToString())
        for tensor in made.graph.initializer:
            if tensor.name == "W":
                values = onnx.numpy_helper.to_array(tensor)[:, ::-1]
                tensor.CopyFrom(onnx.numpy_helper.from_array(values.copy(), "W"))
        return made

    monkeypatch.setattr(onnx_import, "convert_opset", wrong)
    spec = spec_of(network(opset=11), tmp_path)
    artifact = take_in(url, tmp_path, spec)
    assert artifact.manifest["opset"] == 11
    assert scores_of(artifact).argmax(axis=1).tolist() == list(range(CLASSES))
    asked = BuildSpec(
        export=spec,
        precision=Precision.INT8,
        calibration=CalibrationSpec(dataset="grays", images=60),
    )
    found = check_folder(gray_folder(tmp_path / "set"), None, lambda done, total: None)
    register("grays", found, url)
    with pytest.raises(BuildFailed, match="it is in opset 11, which could not be converted to 18"):
        build.run(asked.to_json(), Quiet(url, tmp_path / "int8"))


def test_a_background_class_that_is_no_output_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="outputs 0 to 11, so output 40 cannot be"):
        take_in(url, tmp_path, spec_of(network(), tmp_path, background=40))
