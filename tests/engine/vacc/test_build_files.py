"""Build files of both schemas: read as they are, with nothing lost in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from db.enums import Precision
from db.models import Artifact
from engine.errors import DatasetInvalid, VaccFileInvalid
from engine.preprocess import Color, Interpolation, PreprocessSpec
from engine.preprocess.protocols import VENDOR
from engine.specs import CalibrationMode
from engine.vacc.build_file import read_build_file
from engine.vacc.build_text import build_file_text
from engine.vacc.requests import build_request, calibration_dataset
from engine.vacc.yaml_text import parse_yaml
from tests.support.build_files import OF_2023, TODAY, read


def test_todays_schema() -> None:
    found = read(TODAY)
    assert (found.name, found.checkpoint) == ("timm_senet_int8", "/models/legacy_seresnet18.onnx")
    assert (found.input_name, found.side) == ("input.1", 224), "a name may hold a dot"
    assert (found.precision, found.mode) == (Precision.INT8, CalibrationMode.PERCENTILE)
    assert found.percentile == pytest.approx(99.95)
    assert found.keep_in_float == (0, 4)
    assert found.softmax
    assert found.per_channel
    assert (found.dataset, found.suffix, found.images) == ("/images/calib", "JPEG", 50)
    assert found.preprocess == VENDOR
    assert found.prefix == Path("deploy_weights/timm_senet_int8/mod")
    assert found.warnings == ()
    assert [text.split(": ")[1].split()[0] for text in found.ignored] == [
        "backend.type",
        "backend.compile.cluster_mode",
        "backend.compile.data_transport_mode",
        "dataset.type",
    ]
    assert found.ignored[1].startswith("b.yaml, line 12: ")


def test_the_schema_of_2023() -> None:
    found = read(OF_2023)
    assert (found.name, found.precision, found.softmax) == ("seresnet50", Precision.INT8, False)
    assert (found.mode, found.images) == (CalibrationMode.KL_DIVERGENCE, 1000)
    assert found.preprocess is not None
    assert (found.preprocess.scale, found.preprocess.mean) == (1.0, (123.675, 116.28, 103.53))
    assert found.prefix == Path(
        "senet/vacc/seresnet50-int8-kl_divergence-3_224_224-vacc/seresnet50"
    )


@pytest.mark.parametrize(
    ("value", "precision"),
    [("true", "int8"), ("false", "fp16"), ('"fp16"', "fp16"), ("debug", "int8")],
)
def test_do_quantization_of_2023(value: str, precision: str) -> None:
    found = read(OF_2023.replace("do_quantization: true", f"do_quantization: {value}"))
    assert found.precision == precision
    assert bool(found.warnings) == (value == "debug")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("alibrate_mode", "backend.quantize.calibrate_mode"),
        ("calibrate_mdoe", "backend.quantize.calibrate_mode"),
    ],
)
def test_a_misspelled_key_is_read_and_named(wrong: str, right: str) -> None:
    found = read(TODAY.replace("calibrate_mode:", f"{wrong}:"))
    assert found.mode == CalibrationMode.PERCENTILE
    (warning,) = found.warnings
    assert f"line 15: backend.quantize.{wrong} is misspelled; it was read as {right}." in warning


def test_a_key_that_nobody_knows_is_said_and_changes_nothing() -> None:
    found = read(TODAY.replace("  type: tvm_vacc", "  type: tvm_vacc\n  color: blue"))
    (warning,) = found.warnings
    assert "line 10: backend.color is unknown and has no effect." in warning


def test_an_empty_block_is_no_key() -> None:
    text = TODAY.replace("    cluster_mode: 0\n    data_transport_mode: 1\n", "")
    assert read(text).warnings == ()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "dtype: int8",
            "dtype: int4",
            "b.yaml, line 10: backend.dtype is 'int4'; allowed: fp32, fp",
        ),
        ("mode: percentile", "mode: minmax", "allowed: max, percentile, kl_divergence, mse"),
        ("get_data_num: 50", "get_data_num: 0", "allowed: an integer from 1 to 50,000"),
        ("get_data_num: 50", "get_data_num: true", "get_data_num is 'True'; allowed: an integer"),
        ("[1, 3, 224, 224]", "[1, 3, 80, 160]", r"line 7: frontend.shape.input.1 is"),
        ("[1, 3, 224, 224]", "[1, 3, 192, 192]", "takes 192 x 192 pixels, but the process ops"),
        ("type: onnx", "type: keras", "allowed: onnx, pytorch"),
        ("type: softmax", "type: nms", "allowed: softmax, null"),
        ("[4, 0]", "[-1]", "convolution indices, from 0, in graph order"),
        ("size: [256, 256]", "size: [256, 320]", "allowed: .side, side., one square"),
        ("type: CenterCrop", "type: RandomCrop", "line 32: operation 'RandomCrop'; allowed: Deco"),
        ("type: ToTensor", "type: CustomFunc", "CustomFunc refers to Python code, which is never"),
        ("name: timm_senet_int8", "name: ../up", "line 1: name is '../up'; letters, digits"),
        ("name: timm_senet_int8", "nothing: 1", "has no name; add name"),
        ("  path: /images/calib\n", "", "int8 but has no calibration images"),
        ("mean: [0.485, 0.456, 0.406]", "mean: [0.485]", "mean must be three numbers"),
        ("frontend:", "a: {", "this is not YAML"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(old: str, new: str, sentence: str) -> None:
    assert old in TODAY
    with pytest.raises(VaccFileInvalid, match=sentence):
        read(TODAY.replace(old, new, 1))


def test_a_python_tag_is_never_executed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for value in (
        f"!!python/object/apply:os.mkdir ['{canary}']",
        "!!python/name:os.system",
        "!x 1",
    ):
        path = tmp_path / "b.yaml"
        path.write_text(TODAY.replace("timm_senet_int8", value))
        with pytest.raises(VaccFileInvalid, match=r"line 1: the tag .* never executed"):
            read_build_file(path)
    assert not canary.exists()


def test_hostile_yaml_ends_soon(tmp_path: Path) -> None:
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for before, letter in zip("abcdefgh", "bcdefghi", strict=True):
        laughs += f"{letter}: &{letter} [{', '.join([f'*{before}'] * 9)}]\n"
    for text in (laughs, "a: " + "[" * 500 + "]" * 500, "- 1", "a: &a [*a]"):
        with pytest.raises(VaccFileInvalid):
            parse_yaml(text, "b.yaml")
    with pytest.raises(VaccFileInvalid, match="No such file"):
        read_build_file(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        (
            "[{type: Resize, size: [288, 288]}, {type: Normalize, div255: true, mean: [0, 0, 0], "
            "std: [1, 1, 1]}]",
            {"resize": 288, "crop": 288, "mean": [0, 0, 0], "std": [1, 1, 1]},
        ),
        (
            "[{type: Resize, size: [256, 256]}, {type: CenterCrop, crop_size: [288, 288]}, {type: "
            "CvtColor, code: COLOR_RGB2BGR}, {type: Normalize, div255: false, mean: [103.9, 116.8,"
            " 123.7], std: [1, 2, 3]}]",
            {"color": "bgr", "scale": 1.0, "mean": [103.9, 116.8, 123.7], "std": [1, 2, 3]},
        ),
        (
            "[{type: Resize, size: [256, 256]}, {type: CenterCrop, crop_size: [288, 288]}, {type: "
            "Normalize, mean: [1, 0.5, 0.2], std: [1, 2, 3]}, {type: CvtColor, code: "
            "COLOR_RGB2BGR}]",
            {"color": "bgr", "mean": [0.2, 0.5, 1], "std": [3, 2, 1]},
        ),
        (
            "[{type: CenterCrop, crop_size: [288, 288]}, {type: ToTensor}]",
            {"resize": None, "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1]},
        ),
    ],
)
def test_process_ops(ops: str, expected: dict) -> None:
    document = yaml.safe_load(TODAY.replace("224", "288"))
    document["dataset"]["process_ops"] = yaml.safe_load(ops)
    found = read(yaml.safe_dump(document)).preprocess
    usual = {**VENDOR.to_dict(), "crop": 288}
    assert found == PreprocessSpec.from_dict({**usual, **expected})


def test_a_mean_of_0_to_255_that_is_divided_anyway_is_refused_with_both_readings() -> None:
    with pytest.raises(
        VaccFileInvalid, match=r"0\.485,0\.456,0\.406.*`div255: false` in Normalize"
    ):
        read(OF_2023.replace("      div255: false\n", ""))


def test_the_request_a_file_makes(tmp_path: Path) -> None:
    model = tmp_path / "my net.onnx"
    model.write_bytes(b"x")
    found = read(TODAY.replace("/models/legacy_seresnet18.onnx", str(model)))
    request = build_request(found).request
    assert (request.model_id, request.weights.path) == ("onnx/my net", str(model))
    assert (request.precisions, request.softmax) == ((Precision.INT8,), True)
    assert (request.keep_in_float, request.calibration_percentile) == ((0, 4), 99.95)
    assert (request.calibration_images, request.calibration_mode) == (50, "percentile")
    calibration = calibration_dataset(found)
    assert calibration is not None
    assert request.calibration_dataset == calibration.name
    assert (calibration.root, calibration.calibration_images) == ("/images/calib", 50)
    half = read(TODAY.replace("dtype: int8", "dtype: fp16"))
    assert calibration_dataset(half) is None


def test_images_to_calibrate_on_are_drawn_over_the_folders(tmp_path: Path) -> None:
    from engine.datasets.sampling import sample_calibration_images

    for name in ("a/1.JPEG", "a/2.JPEG", "a/3.JPEG", "b/1.JPEG", "c.png", "a/text.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    drawn = sample_calibration_images(tmp_path, "JPEG", 2)
    assert {Path(name).parent.name for name in drawn.files} == {"a", "b"}
    assert drawn.class_names == (), "nothing can be evaluated on it"
    assert len(sample_calibration_images(tmp_path).files) == 5
    with pytest.raises(DatasetInvalid, match=r"no images with suffix \.jpg; it contains .* \.JPEG"):
        sample_calibration_images(tmp_path, "jpg")


@pytest.mark.parametrize(
    ("spec", "build", "precision"),
    [
        (VENDOR, {}, "fp16"),
        (PreprocessSpec(interpolation=Interpolation.BICUBIC, resize=235), {}, "fp32"),
        (PreprocessSpec(resize=None, crop=64), {"appended": "softmax"}, "fp16"),
        (
            PreprocessSpec(scale=1.0, mean=(103.9, 116.8, 123.7), std=(1, 2, 3), color=Color.BGR),
            {
                "calibration": {
                    "mode": "percentile",
                    "percentile": 99.95,
                    "images": 77,
                    "dataset": "calib",
                    "keep_in_float": [1, 5],
                }
            },
            "int8",
        ),
    ],
)
def test_a_build_becomes_a_build_file_that_describes_it(
    spec: PreprocessSpec, build: dict, precision: str
) -> None:
    manifest = {"preprocess": spec.to_dict(), "build": build, "weights": {"origin": "file a.pth"}}
    artifact = Artifact(
        model_id="timm/seresnet50", precision=precision, weights_kind="file", manifest=manifest
    )
    text = build_file_text(artifact)
    found = read(text)
    assert found.precision == precision
    assert found.softmax == ("appended" in build)
    assert found.checkpoint == "/path/to/a.pth"
    assert found.warnings == ()
    plain = found.preprocess.to_dict() if found.preprocess else {}
    expected = spec.to_dict()
    if spec.resize is None:  # then how it would resize is nobody's business
        plain["resize_mode"] = expected["resize_mode"]
    assert plain == expected
    assert ("keys of SENet Workbench" in text) == (spec.resize == 235 or precision == "int8")
    if precision == "int8":
        assert found.percentile == pytest.approx(99.95)
        assert (found.images, found.keep_in_float) == (77, (1, 5))
