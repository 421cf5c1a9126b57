"""The page of the vendor's tool chain, command by command, ending where the engine's own does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from db.enums import Precision
from engine.cli.main import main
from engine.cli.vendor.vamp_runs import VampRun
from engine.datasets.imagenet import class_names
from engine.preprocess import PreprocessSpec, ResizeMode, Resizer, open_image, preprocess
from engine.runtimes.onnxruntime import OnnxSession
from tests.support.tiny import SIDE, store_build, tiny_se_model

BUILD = """\
name: {name}
frontend:
  type: {kind}
  checkpoint: {checkpoint}
  shape:
    input: [1, 3, {side}, {side}]
backend:
  type: tvm_vacc
  dtype: {dtype}
  quantize:
    alibrate_mode: percentile
graph:
  extra_ops:
    type: softmax
dataset:
  path: {images}
  sampler:
    suffix: JPEG
    get_data_num: 10
  process_ops:
    - type: DecodeImage
    - type: Resize
      size: [{resize}, {resize}]
    - type: CenterCrop
      crop_size: [{side}, {side}]
    - type: Normalize
      mean: [0.5, 0.5, 0.5]
      std: [0.5, 0.5, 0.5]
    - type: ToTensor
workspace:
  path: ./deploy_weights/
"""


def vdsp(resize: int, side: int) -> dict[str, Any]:
    at = (resize - side) // 2
    config = {"IimageFormat": "RGB_PLANAR", "ResizeType": "BILINEAR_CV"}
    config |= {"NormaType": "DIV255_MINUSMEAN_DIVSTD", "ColorCvtCode": "NO_CHANGE"}
    numbers = {"ResizeWidth": resize, "ResizeHeight": resize, "CropX": at, "CropY": at}
    numbers |= {"OimageWidth": side, "OimageHeight": side}
    op = "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR"
    return {
        "OpType": op,
        "OpConfig": {**config, **numbers, "Mean": [0.5] * 3, "Std": [0.5] * 3},
    }


def said(capsys: pytest.CaptureFixture[str], *call: str) -> str:
    """What a command prints on stdout; it must succeed."""
    capsys.readouterr()
    code = main(list(call))
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def walk_the_chain(
    capsys: pytest.CaptureFixture[str], flat: Path, resize: int, side: int, **build: Any
) -> None:
    """Steps 2 to 5 of the page in the current folder; both paths must count the same."""
    name = f"chain_{build['dtype']}"
    Path("build.yaml").write_text(
        BUILD.format(name=name, images=flat, resize=resize, side=side, **build)
    )
    Path("vdsp.json").write_text(json.dumps(vdsp(resize, side)))
    Path("imagenet.txt").write_text("".join(f"{name}\n" for name in class_names()))
    built = json.loads(said(capsys, "vamc", "compile", "build.yaml", "--json"))
    assert any("alibrate_mode is misspelled" in text for text in built["warnings"])
    assert Path(f"deploy_weights/{name}/mod.onnx").is_file()
    said(capsys, "valprep", str(flat), "val", "--copy")
    said(
        capsys,
        *["image2npz", "--dataset_path", "val", "--target_path", "npz", "--text_path", "npz.txt"],
    )
    model = ["-m", f"deploy_weights/{name}/mod", "--vdsp_params", "vdsp.json"]
    shape = f"[3,{side},{side}]"
    output = ["--datalist", "npz.txt", "--path_output", "output"]
    said(
        capsys, "vamp", *model, *["-i", "8", "p", "1", "-b", "22", "-s"], shape, "-d", "0", *output
    )
    said(capsys, *["vamp_npz_decode", "npz.txt", "output", "result.txt", "imagenet.txt"])
    topk = json.loads(said(capsys, "eval_topk", "result.txt", "--json"))
    label = ["--label", str(flat / "val_label.txt")]
    call = ["eval_imagenet", "--result_path", "output", "--datalist", "npz.txt", *label]
    older = json.loads(said(capsys, *call, "--json"))
    said(capsys, "dataset", "add", "val", "val", "--json")
    own = json.loads(said(capsys, "evaluate", built["artifact"], "-d", "val", "--json"))
    (row,) = own["results"]
    counts = (row["top1_count"], row["top5_count"], row["images"])
    assert counts == (topk["top1_count"], topk["top5_count"], topk["images"])
    assert counts == (older["top1_count"], older["top5_count"], older["images"])
    assert 0 < counts[0] < counts[2], "some right, some wrong: the test can fail"


def drawn_photographs(folder: Path, model: Path) -> Path:
    """Twelve JPEGs; two of three are labeled with the class that the model gives them."""
    random = np.random.default_rng(5)
    folder.mkdir()
    spec = PreprocessSpec(
        resize=SIDE + 4,
        resize_mode=ResizeMode.SQUASH,
        resizer=Resizer.OPENCV,
        crop=SIDE,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
    )
    runtime = OnnxSession(model, "CPUExecutionProvider", 1)
    lines = []
    for number in range(12):
        path = folder / f"ILSVRC2012_val_{number:08d}.JPEG"
        coarse = random.integers(0, 256, (3, 3, 3)).astype(np.uint8)
        size = (random.integers(30, 60), random.integers(30, 60))
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, quality=95)
        best = int(runtime.run(preprocess(open_image(path), spec)[None]).argmax())
        lines.append(f"{path.name} {best if number % 3 else (best + 500) % 1000}\n")
    (folder / "val_label.txt").write_text("".join(lines))
    return folder


def test_the_chain_on_a_small_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(tiny_se_model(classes=1000), tmp_path / "tiny.onnx")
    flat = drawn_photographs(tmp_path / "flat", tmp_path / "tiny.onnx")
    walk_the_chain(capsys, flat, SIDE + 4, SIDE, kind="onnx", checkpoint="tiny.onnx", dtype="fp16")
    model = ["-m", "deploy_weights/chain_fp16", "--vdsp_params", "vdsp.json", "-i", "2"]
    text = said(capsys, "vamp", *model, "p", "2", "-b", "2", "--max-seconds", "3")
    assert "number of process:2" in text
    assert "- number of instances in each device: 2" in text
    rows = json.loads(said(capsys, "results", "--json"))
    measured = [row for row in rows if row["benchmark_id"] is not None]
    assert [(row["instances"], row["processes"], row["batch"]) for row in measured] == [(2, 2, 2)]
    qps = float(text.split("throughput (qps): ")[1].split()[0])
    assert qps == pytest.approx(measured[0]["images_per_s"], rel=1e-4), "printed = recorded"


def test_vamp_measures_in_the_runtime_of_its_option(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[VampRun] = []
    monkeypatch.setattr("engine.cli.vendor.vamp.measure", lambda run: asked.append(run) or 0)
    for precision in (Precision.FP32, Precision.FP16):
        build = store_build(url, tiny_se_model(), precision)
        main(["vamp", "-m", build.digest, "-r", "openvino", "-b", "2"])
    (run,) = asked
    assert (run.benchmark.runtime, run.artifact.precision) == ("openvino", "fp32")
    assert "openvino does not execute fp16: choose runtime onnxruntime" in capsys.readouterr().err


@pytest.mark.real
def test_the_chain_on_a_real_network_and_photographs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    real_data: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    name, side = "tf_mobilenetv3_small_100", 224
    weights = str(real_data / "weights" / f"{name}.safetensors")
    export = f"export --model_library timm --model_name {name} --save_dir w --convert_mode pt"
    said(capsys, *export.split(), "--pretrained_weights", weights)
    walk_the_chain(
        capsys,
        real_data / "imagenet_val_20",
        256,
        side,
        kind="pytorch",
        checkpoint=f"w/{name}_{side}.pt",
        dtype="fp16",
    )


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("vamc build none.yaml", "none.yaml cannot be read: No such file"),
        ("vamp -m none/mod", "none/mod is not a build: give the prefix that `vamc compile` wrote"),
        ("image2npz --dataset_path none --target_path t", "none is not a folder"),
        ("eval_topk none.txt", "none.txt cannot be read: No such file"),
        ("eval_imagenet --result_path none --datalist none.txt", "The list none.txt cannot be"),
        ("vamp_npz_decode a b c none.txt", "The label file none.txt cannot be read"),
        ("valprep none target", "none is not a folder"),
        ("export --model_library torchvision --model_name resnet50", "torchvision has no SE"),
    ],
)
def test_what_is_missing_gets_one_sentence(
    call: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*call.split(), "--json"]) == 1
    captured = capsys.readouterr()
    assert sentence in json.loads(captured.out)["error"]
    assert "Traceback" not in captured.err
