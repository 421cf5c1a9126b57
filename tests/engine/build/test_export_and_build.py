"""Exports and builds as jobs: equal to torch, found again, refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from db.enums import Precision, WeightsKind
from db.models import Artifact, Model
from db.session import reading
from engine.build import job as build
from engine.build.fp16.execution import expected
from engine.config import settings
from engine.errors import (
    CheckpointRejected,
    ExportFailed,
    InvalidRequest,
    StorageFull,
    WeightsUnavailable,
)
from engine.export import job as export
from engine.export.verify import compare
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import (
    BuildSpec,
    CalibrationSpec,
    ExportSpec,
    RangeCheckSpec,
    TargetName,
    WeightsSpec,
)
from engine.specs.precisions import file_precision
from engine.store import artifacts
from tests.support.exports import onnx_spec, run_export
from tests.support.tiny import PREPROCESS, SIDE, Quiet, image_folder, labeled_by, tiny_se_model

DEMO = ExportSpec(model_id="demo/senet")


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    onnx.save(tiny_se_model(), path)
    return path


def test_the_demo_export_computes_what_torch_computes(url: str, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from engine.checkpoints.registry import build_module
    from engine.weights.lookup import DEMO_WEIGHTS

    artifact = run_export(url, tmp_path / "a", DEMO)
    module = build_module("demo", "senet")
    module.load_state_dict(load_file(DEMO_WEIGHTS))
    path = artifacts.model_path(artifact.digest)
    model = OnnxSession(path, "CPUExecutionProvider", 1)
    for batch_size in (1, 5):
        batch = np.random.default_rng(0).normal(size=(batch_size, 3, 64, 64)).astype(np.float32)
        with torch.inference_mode():
            expected = module.eval()(torch.from_numpy(batch)).numpy()
        assert np.allclose(expected, model.run(batch), rtol=1e-3, atol=1e-4)

    proto = onnx.load(path)
    assert (proto.graph.input[0].name, proto.graph.output[0].name) == ("input", "logits")
    assert artifact.manifest["opset"] == 18
    assert b"site-packages" not in path.read_bytes(), "no path of the exporting machine"
    with reading(url) as session:
        row = session.get(Model, "demo/senet")
    assert row is not None
    assert row.compute_gmacs == artifact.manifest["compute"]["gmacs"] > 0

    again = Quiet(url, tmp_path / "b")
    assert export.run(DEMO.to_json(), again) == {"artifact": artifact.digest, "reused": True}


def test_pretrained_weights_without_a_network_name_the_url_and_the_place(
    url: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsUnavailable) as caught:
        run_export(url, tmp_path / "a", ExportSpec(model_id="timm/legacy_seresnet18"))
    assert "timm/legacy_seresnet18.in1k/resolve/main/model.safetensors" in str(caught.value)
    place = settings().home / "weights" / "timm" / "legacy_seresnet18.in1k.safetensors"
    assert str(place) in str(caught.value)


def test_a_file_put_there_by_hand_is_taken(url: str, tmp_path: Path) -> None:
    place = settings().home / "weights" / "timm" / "legacy_seresnet18.in1k.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointRejected, match=r"legacy_seresnet18\.in1k\.safetensors"):
        run_export(url, tmp_path / "a", ExportSpec(model_id="timm/legacy_seresnet18"))


def test_an_unknown_timm_name_gets_close_matches(url: str, tmp_path: Path) -> None:
    weights = WeightsSpec(kind=WeightsKind.RANDOM)
    with pytest.raises(InvalidRequest, match="seresnet50"):
        run_export(url, tmp_path / "a", ExportSpec(model_id="timm/seresnet5O", weights=weights))


def test_a_file_changed_since_it_was_chosen_is_refused(url: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"x")
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(path), sha256="0" * 64)
    with pytest.raises(CheckpointRejected, match="has changed since it was chosen"):
        run_export(url, tmp_path / "a", ExportSpec(model_id="timm/seresnet50", weights=weights))


def test_a_foreign_onnx_file_is_taken_in(url: str, tmp_path: Path, tiny_file: Path) -> None:
    artifact = run_export(url, tmp_path / "a", onnx_spec(tiny_file))
    assert artifact.manifest["classes"] == 4
    assert artifact.manifest["scores"] == "logits"
    assert artifact.manifest["preprocess"]["crop"] == SIDE


def test_a_final_softmax_is_recognized(url: str, tmp_path: Path) -> None:
    model = tiny_se_model()
    model.graph.node[-1].output[0] = "raw"
    model.graph.node.append(onnx.helper.make_node("Softmax", ["raw"], ["logits"], axis=1))
    onnx.save(model, tmp_path / "soft.onnx")
    artifact = run_export(url, tmp_path / "a", onnx_spec(tmp_path / "soft.onnx"))
    assert artifact.manifest["scores"] == "probabilities"


def test_a_truncated_onnx_file_is_refused(url: str, tmp_path: Path, tiny_file: Path) -> None:
    tiny_file.write_bytes(tiny_file.read_bytes()[:500])
    with pytest.raises(CheckpointRejected, match=r"tiny\.onnx is not a valid ONNX model"):
        run_export(url, tmp_path / "a", onnx_spec(tiny_file))


def test_external_data_outside_the_folder_is_refused(url: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"\0" * 4096)
    folder = tmp_path / "model"
    folder.mkdir()
    model = tiny_se_model()
    tensor = model.graph.initializer[0]
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../secret.bin"), ("offset", "0"), ("length", str(size))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointRejected):
        run_export(url, tmp_path / "a", onnx_spec(folder / "m.onnx"))


def test_a_graph_that_is_no_image_classifier_is_refused(url: str, tmp_path: Path) -> None:
    model = tiny_se_model()
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, ["batch", 8])
    )
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(ExportFailed, match=r"two\.onnx has 2 inputs \(input, mask\)"):
        run_export(url, tmp_path / "a", onnx_spec(tmp_path / "two.onnx"))


def test_another_crop_than_the_file_takes_is_refused(
    url: str, tmp_path: Path, tiny_file: Path
) -> None:
    spec = onnx_spec(tiny_file, preprocess={**PREPROCESS.to_dict(), "crop": 224})
    with pytest.raises(ExportFailed, match="takes 16 x 16 pixels, not 224"):
        run_export(url, tmp_path / "a", spec)


def test_the_three_precisions(url: str, tmp_path: Path, tiny_file: Path) -> None:
    dataset = labeled_by(tiny_se_model(), image_folder(tmp_path / "set"), url)
    spec = onnx_spec(tiny_file)
    exported = run_export(url, tmp_path / "export", spec)
    built = {}
    for precision in Precision:
        calibration = CalibrationSpec(dataset="tiny", images=200)
        asked = BuildSpec(
            export=spec,
            precision=precision,
            calibration=calibration if file_precision(precision) == Precision.INT8 else None,
        )
        context = Quiet(url, tmp_path / precision)
        digest = build.run(asked.to_json(), context)["artifact"]
        built[precision] = artifacts.find_by_digest(digest, url)
        assert build.run(asked.to_json(), Quiet(url, tmp_path / f"{precision}2"))["reused"]
        shared = any("Shares the file of the" in said for said in context.said)
        assert shared == (file_precision(precision) != precision)
        if precision == Precision.INT8:
            assert any("Only 120 calibration images, 200" in said for said in context.said)
    for artifact in built.values():
        assert artifact.parent_digest == exported.digest
        assert artifact.manifest["preprocess"] == exported.manifest["preprocess"]
        assert artifact.manifest["compute"] == exported.manifest["compute"]
    assert built[Precision.FP32].manifest["agreement"]["max_relative_difference"] < 1e-5
    assert 0 < built[Precision.FP16].manifest["agreement"]["max_relative_difference"] < 1e-2
    calibration_made = built[Precision.INT8].manifest["build"]["calibration"]
    assert calibration_made["images"] == 120
    assert calibration_made["dataset_digest"] == dataset.digest
    assert "emulated" in built[Precision.FP16].manifest["build"]["execution"]
    for own, sharing in (
        (Precision.FP32, Precision.BF16),
        (Precision.INT8, Precision.INT8_BF16),
    ):
        digests = [built[precision].digest for precision in (own, sharing)]
        assert len(set(digests)) == 2
        files = [artifacts.model_path(digest).read_bytes() for digest in digests]
        assert files[0] == files[1]
        assert built[sharing].manifest["precision"] == sharing
        assert built[sharing].manifest["build"] == built[own].manifest["build"]


def test_int8_ranges_belong_to_the_images_not_to_the_name(
    url: str, tmp_path: Path, tiny_file: Path
) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "one", per_class=3), url)
    asked = BuildSpec(
        export=onnx_spec(tiny_file),
        precision=Precision.INT8,
        calibration=CalibrationSpec(dataset="tiny"),
    )
    before = build.recipe_of(asked, url)
    labeled_by(tiny_se_model(), image_folder(tmp_path / "two", per_class=4), url)
    assert build.recipe_of(asked, url) != before


def test_the_target_is_part_of_the_recipe_and_auto_is_what_it_comes_to(
    url: str, tmp_path: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "one", per_class=3), url)

    def recipe(target: TargetName) -> str:
        calibration = CalibrationSpec(dataset="tiny", target=target)
        export = onnx_spec(tiny_file)
        asked = BuildSpec(export=export, precision=Precision.INT8, calibration=calibration)
        return build.recipe_of(asked, url)

    monkeypatch.setattr("engine.build.lookup.instruction_sets", lambda: ["avx512_vnni"])
    assert len({recipe(target) for target in TargetName}) == len(TargetName) - 1
    assert recipe(TargetName.AUTO) == recipe(TargetName.X86_VNNI)
    monkeypatch.setattr("engine.build.lookup.instruction_sets", lambda: ["avx2"])
    assert recipe(TargetName.AUTO) == recipe(TargetName.X86)


def loud_file(path: Path) -> Path:
    """The tiny network with a gain of 2e5 in its first convolution, taken back behind the SE."""
    model = tiny_se_model()
    for tensor in model.graph.initializer:
        gain = {"w": 2e5, "w1": 1 / 2e5, "fc": 1 / 2e5}.get(tensor.name)
        if gain:
            values = onnx.numpy_helper.to_array(tensor) * np.float32(gain)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)
    return path


def test_fp16_keeps_what_does_not_fit_in_float_and_says_on_which_images(
    url: str, tmp_path: Path
) -> None:
    dataset = labeled_by(tiny_se_model(), image_folder(tmp_path / "set"), url)
    spec = onnx_spec(loud_file(tmp_path / "loud.onnx"))
    run_export(url, tmp_path / "export", spec)
    checked = RangeCheckSpec(dataset="tiny", images=500)
    asked = BuildSpec(export=spec, precision=Precision.FP16, range_check=checked)
    plain = BuildSpec(export=spec, precision=Precision.FP16)
    assert build.recipe_of(asked, url) != build.recipe_of(plain, url)

    context = Quiet(url, tmp_path / "build")
    digest = build.run(asked.to_json(), context)["artifact"]
    made = artifacts.find_by_digest(digest, url).manifest["build"]
    found = made["half"]
    kept = {one["node"]: one["reason"] for one in found["kept_in_float"]}
    assert "outputs values up to" in kept["w"]
    assert "fc" in kept
    assert "w2" not in kept, "behind the SE branch's first convolution all is quiet again"
    assert found["checked"]["images"] == 120
    assert found["checked"]["dataset_digest"] == dataset.digest
    assert found["largest"]["value"] > 65504
    assert found["agreement"]["same_class"] == found["agreement"]["images"] == 64
    assert found["agreement"]["signal_db"] > 40
    assert any("Only 120 images for the overflow check; 500" in said for said in context.said)
    assert any("w (Conv) stays in fp32: outputs values up to" in said for said in context.said)

    unchecked = build.run(plain.to_json(), Quiet(url, tmp_path / "plain"))["artifact"]
    about = artifacts.find_by_digest(unchecked, url).manifest["build"]["half"]
    assert about["checked"]["dataset"] is None
    assert "overflow not checked (no dataset)" in about["checked"]["note"]


@pytest.mark.parametrize(
    ("provider", "machine", "flags", "kind"),
    [
        ("CPUExecutionProvider", "x86_64", [], "emulated"),
        ("CPUExecutionProvider", "x86_64", ["avx512_fp16"], "emulated"),
        ("CPUExecutionProvider", "aarch64", ["fphp", "asimdhp"], "native"),
        ("CUDAExecutionProvider", "x86_64", [], "native"),
    ],
)
def test_fp16_is_native_where_the_machine_computes_in_it(
    provider: str, machine: str, flags: list[str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.build.fp16.execution.fp16_instructions", lambda: flags)
    monkeypatch.setattr("engine.build.fp16.execution.platform.machine", lambda: machine)
    found = expected(provider)
    assert found.kind == kind
    assert all(flag in found.why for flag in flags)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    url: str, tmp_path: Path, tiny_file: Path
) -> None:
    context = Quiet(url, tmp_path / "a")
    target = context.workspace / "artifact" / "model.onnx"
    mkdir = Path.mkdir

    def with_a_full_target(self: Path, *arguments: object, **options: object) -> None:
        mkdir(self, *arguments, **options)  # type: ignore[arg-type]
        if self == target.parent:
            target.symlink_to("/dev/full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "mkdir", with_a_full_target)
        with pytest.raises(StorageFull, match="The disk is full"):
            export.run(onnx_spec(tiny_file).to_json(), context)
    with reading(url) as session:
        assert session.query(Artifact).count() == 0
    assert not (settings().home / "artifacts").exists()


def test_compare_counts_a_wrong_top1_and_forgives_a_tie() -> None:
    inputs = [np.zeros((2, 1), np.float32)]
    first = np.array([[1.0, 0.0], [0.0, 1.0]])
    swapped = np.array([[1.0, 0.0], [1.0, 0.0]])
    wrong = compare(lambda batch: first, lambda batch: swapped, inputs)
    assert (wrong.same_top1, wrong.inputs, wrong.max_relative_difference) == (1, 2, 1.0)
    tie = np.array([[1.0, 1.0 + 1e-6], [0.0, 1.0]])
    assert compare(lambda batch: tie, lambda batch: tie[:, ::-1], [inputs[0][:1]]).inputs == 1
    nearly = compare(lambda batch: tie[:1], lambda batch: tie[:1, ::-1], inputs)
    assert nearly.same_top1 == 1


def test_compare_reports_what_is_not_finite() -> None:
    broken = compare(
        lambda batch: np.ones((1, 2)), lambda batch: np.full((1, 2), np.nan), [np.zeros((1, 1))]
    )
    assert broken.max_relative_difference == float("inf")
