"""Every reader of a user's file, under 2,000 seeded mutations each: one sentence, or taken in."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save as safetensors_bytes

from engine.checkpoints.reading import read_checkpoint
from engine.cli.parsing import read_json_object, read_preprocess
from engine.datasets.class_lists import read_class_list
from engine.datasets.label_files import LabelOptions, labels_by_name
from engine.datasets.label_tables import contains_labels
from engine.evaluation.label_sets import read_label_set
from engine.export.onnx_reading import load_onnx
from engine.imports.benchmark import read_benchmarks
from engine.imports.builds import record_environment
from engine.imports.predictions import read_predictions
from engine.onnx.macs.skeleton import build_skeleton, load_graph
from engine.onnx.opset import remove_weight_inputs
from engine.onnx.signature import find_image_inputs
from engine.preprocess import PreprocessSpec, open_image
from engine.vacc.build_file import read_build_file
from engine.vacc.deploy import find_deployed
from engine.vacc.npz import read_datalist, read_input, read_output
from engine.vacc.result_lines import read_class_names, read_lines
from engine.vacc.vdsp import read_vdsp
from tests.support.fuzzing import (
    MUTATIONS,
    IsPast,
    Mutate,
    fuzz,
    magic,
    not_refused_as,
    npy_changed,
    of_bytes,
    of_json,
    of_protobuf,
    of_text,
    of_zip,
    text_changed,
    whole_zip,
)
from tests.support.tiny import tiny_se_model

pytestmark = pytest.mark.integration

RECORDED = Path(__file__).parents[1] / "oracles" / "recorded" / "paddle-2.6.2"
BUILD_FILE = b"""name: senet
frontend: {type: onnx, checkpoint: timm/x, shape: {input: [1, 3, 224, 224]}}
backend:
  dtype: int8
  quantize: {calibrate_mode: percentile, calibrate_range: 0.9999, skip_conv_layers: [0, 3]}
dataset:
  path: /data/val
  process_ops:
    - {type: Resize, size: [256, 256]}
    - {type: CenterCrop, crop_size: 224}
    - {type: Normalize, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
"""
OLD_BUILD_FILE = b"""model: {name: senet, checkpoint: timm/x, inputs: {input: [1, 3, 224, 224]}}
engine: {common: {do_quantization: true}, calibration: {quant_mode: max}}
dataset:
  path: /data/val
  transform_ops: [{type: Resize, size: 224}, {type: CvtColor, code: COLOR_RGB2BGR}]
"""
VDSP = {
    "OpType": "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR",
    "OpConfig": {
        "ResizeType": "BILINEAR_CV", "ColorCvtCode": "RGB2BGR", "NormaType": "DIV255",
        "ResizeWidth": 256, "ResizeHeight": 256, "OimageWidth": 224, "OimageHeight": 224,
        "CropX": 16, "CropY": 16, "Mean": [0.5, 0.5, 0.5], "Std": [0.2, 0.2, 0.2],
    },
}  # fmt: skip
OLD_VDSP = {
    "vdsp_op_type": 300, "iimage_format": 5000, "iimage_width": 256, "iimage_height": 256,
    "short_edge_threshold": 256, "crop_size": 224, "resize_type": 1, "color_cvt_code": 2,
    "norma_type": 3, "meanr": 14275, "meang": 14170, "meanb": 13784, "stdr": 13226,
    "stdg": 13222, "stdb": 13216,
}  # fmt: skip
BENCHMARK = {
    "model": "timm/seresnet50", "precision": "int8", "source": "card X, driver 1.2",
    "device": "card X", "images_per_s": 1234.5, "images_per_s_low": 1200, "batch": 22,
    "instances": 8, "latency_p50_ms": 1.5, "latency_p99_ms": 2.5, "samples": 1000,
    "peak_rss_mb": 100.0, "environment": {"driver": "1.2", "cores": 8, "turbo": True},
}  # fmt: skip
LINE = b"/val/n01440764/a.JPEG: Relay top-%d id: %d, prob: 0.10000000, class name: tench\n"
DOOR = not_refused_as(
    *(
        "it is not JSON",
        "readable as JSON",
        "is not a text file",
        "is not YAML",
        "has no keys at its top level",
        "as CSV",
    )
)


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def parquet() -> bytes:
    frame = pd.DataFrame({"top1": [1, 2], "top2": [3, 4], "image": ["a", "b"], "label": [1, 1]})
    return frame.to_parquet() or b""


def image(form: str) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(stream, format=form)
    return stream.getvalue()


STATE = {"conv.weight": torch.ones(2, 3), "bn.bias": torch.zeros(4, dtype=torch.float16)}


def torch_file(**options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save({"state_dict": STATE, "epoch": 3, "optimizer": [{"lr": 0.1}]}, stream, **options)
    return stream.getvalue()


def torchscript() -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), stream)
    return stream.getvalue()


def safetensors(rng: Any) -> bytes:
    """The header with other values and the right length."""
    whole = safetensors_bytes(STATE)
    (length,) = struct.unpack("<Q", whole[:8])
    header = text_changed(whole[8 : 8 + length], rng)
    return struct.pack("<Q", len(header)) + header + whole[8 + length :]


def lines_of(path: Path) -> object:
    return list(read_lines(path.read_text(encoding="utf-8", errors="replace").splitlines(), "r"))


def environment(path: Path) -> object:
    return record_environment(read_json_object(path), _URL[0])


def labels(path: Path) -> object:
    return labels_by_name(path, LabelOptions()), contains_labels(path)


def onnx_import(path: Path) -> object:
    """All that is done to a foreign graph before ONNX Runtime is asked to run it."""
    model = load_onnx(path)
    remove_weight_inputs(model)
    return find_image_inputs(model, path.name, None)


_URL: list[str] = []
Reader = Callable[[Path], object]
READERS: dict[str, tuple[str, Reader, Callable[[], Mutate], IsPast]] = {
    "build file": ("b.yaml", read_build_file, lambda: of_text(BUILD_FILE), DOOR),
    "old build file": ("b.yaml", read_build_file, lambda: of_text(OLD_BUILD_FILE), DOOR),
    "vdsp": ("p.json", read_vdsp, lambda: of_json(VDSP), DOOR),
    "old vdsp": ("p.json", read_vdsp, lambda: of_json(OLD_VDSP), DOOR),
    "benchmark JSON": ("b.json", read_benchmarks, lambda: of_json(BENCHMARK), DOOR),
    "benchmark CSV": (
        "b.csv",
        read_benchmarks,
        lambda: of_text(
            b"model,precision,source,device,images_per_s,batch,environment.cores\n"
            b"timm/seresnet50,fp32,card,X,10.5,1,8\ntimm/seresnet50,int8,card,X,20.5,4,8\n"
        ),
        DOOR,
    ),
    "preprocessing": (
        "p.json",
        lambda path: PreprocessSpec.from_dict(read_preprocess(path) or {}),
        lambda: of_json(PreprocessSpec().to_dict()),
        DOOR,
    ),
    "environment": (
        "e.json",
        environment,
        lambda: of_json({"device": "card X", "driver": [1, 2, {"a": 1.5}], "runtime": "r 1"}),
        DOOR,
    ),
    "label set": (
        "l.json", read_label_set, lambda: of_json({"a.jpg": [1, 2], "b.jpg": []}), DOOR,
    ),
    "deployed build": (
        "mod.json",
        lambda path: find_deployed(str(path.with_suffix("")), _URL[0]),
        lambda: of_json({"artifact": "0123456789abcdef", "model": "timm/x"}),
        DOOR,
    ),
    "label file": ("l.txt", labels, lambda: of_text(b"a.jpg 3\nb c.jpg 999\n"), DOOR),
    "label table": (
        "l.csv", labels,
        lambda: of_text(b"ImageId,PredictionString\na.jpg,n01751748 1 8 4 9\nb,n01440764\n"), DOOR,
    ),
    "label JSON": ("l.json", labels, lambda: of_json({"a.jpg": 3, "b.jpg": 4}), DOOR),
    "class list": ("c.txt", read_class_list, lambda: of_text(b"0 tench\n1 white shark\n"), DOOR),
    "class JSON": (
        "c.json", read_class_list,
        lambda: of_json({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}), DOOR,
    ),
    "class names": ("n.txt", read_class_names, lambda: of_text(b"tench\nwhite shark\n"), DOOR),
    "datalist": (
        "d.txt", lambda path: read_datalist(path, must_exist=True),
        lambda: of_text(b"/a/n01440764/a.npz\n/a/b.npz\n"), DOOR,
    ),
    "result lines": (
        "r.txt", lines_of, lambda: of_text(b"".join(LINE % (k, k) for k in range(5))), DOOR,
    ),
    "vendor input": (
        "a.npz", read_input,
        lambda: of_zip(npz(input_0=np.zeros((3, 4, 5), np.uint8)), npy_changed), whole_zip,
    ),
    "vendor output": (
        "a.npz", read_output,
        lambda: of_zip(npz(output_0=np.arange(5, dtype=np.float32)[None]), npy_changed), whole_zip,
    ),
    "predictions npz": (
        "p.npz", read_predictions,
        lambda: of_zip(
            npz(top5=np.arange(10).reshape(2, 5), image=np.array(["a", "b"]), label=np.ones(2)),
            npy_changed,
        ),
        whole_zip,
    ),
    "predictions npy": (
        "p.npy", read_predictions,
        lambda: lambda rng: npy_changed("", npy(np.arange(10).reshape(2, 5)), rng),
        magic(b"\x93NUMPY"),
    ),
    "predictions CSV": (
        "p.csv", read_predictions,
        lambda: of_text(b"image,label,top1,top2,score_0\na.jpg,1,1,2,0.5\nb.jpg,3,3,1,0.25\n"),
        DOOR,
    ),
    "predictions Parquet": (
        "p.parquet", read_predictions, lambda: of_bytes(parquet(), keep=4), magic(b"PAR1"),
    ),
    "torch zip": ("a.pth", read_checkpoint, lambda: of_zip(torch_file()), whole_zip),
    "torch legacy": (
        "a.pth", read_checkpoint,
        lambda: of_bytes(torch_file(_use_new_zipfile_serialization=False), keep=16),
        magic(b"\x80\x02\x8a\nl\xfc\x9c"),
    ),
    "torchscript": ("a.pt", read_checkpoint, lambda: of_zip(torchscript()), whole_zip),
    "safetensors": ("a.safetensors", read_checkpoint, lambda: safetensors, magic(b"{", at=8)),
    "pdparams": (
        "a.pdparams", read_checkpoint,
        lambda: of_bytes((RECORDED / "protocol2.pdparams").read_bytes(), keep=2), magic(b"\x80"),
    ),
    "pdiparams without names": (
        "alone.pdiparams", read_checkpoint,
        lambda: of_bytes((RECORDED / "logits.pdiparams").read_bytes(), keep=16), magic(bytes(16)),
    ),
    "ONNX": (
        "a.onnx",
        lambda path: build_skeleton(load_graph(path), 1),
        lambda: of_protobuf(tiny_se_model().SerializeToString()),
        not_refused_as("not a readable ONNX"),
    ),
    "ONNX import": (
        "a.onnx", onnx_import, lambda: of_protobuf(tiny_se_model().SerializeToString()),
        not_refused_as("is not a valid ONNX model"),
    ),
    **{
        form: (f"a.{form}", open_image, lambda form=form: of_bytes(image(form), keep=12), past)
        for form, past in {
            "JPEG": magic(b"\xff\xd8"), "PNG": magic(b"\x89PNG"), "WEBP": magic(b"RIFF"),
            "GIF": magic(b"GIF8"), "TIFF": magic(b"II*\0"), "BMP": magic(b"BM"),
        }.items()
    },
}  # fmt: skip


_TWO_SCHEMAS = ("build file", "old build file")  # of one reader, which takes the longest


@pytest.mark.parametrize("kind", READERS)
def test_only_sentences_come_out(kind: str, tmp_path: Path, url: str) -> None:
    name, read, mutate, is_past = READERS[kind]
    _URL[:] = [url]
    count = MUTATIONS // 2 if kind in _TWO_SCHEMAS else MUTATIONS
    tally = fuzz(read, mutate(), is_past, tmp_path / name, count)
    assert tally.taken < tally.mutations, "some mutations must be refused"


@pytest.mark.parametrize("suffix", [".pdmodel", ".pdiparams.info"])
def test_names_beside_parameters(suffix: str, tmp_path: Path) -> None:
    """The file that names the tensors of a .pdiparams is as hostile as the tensors."""
    whole = tmp_path / "a.pdiparams"
    whole.write_bytes((RECORDED / "logits.pdiparams").read_bytes())
    seed = (RECORDED / f"logits{suffix}").read_bytes()
    mutate = of_protobuf(seed) if suffix == ".pdmodel" else of_bytes(seed, keep=2)
    past = magic(b"\x80") if suffix != ".pdmodel" else not_refused_as("which is damaged")
    fuzz(lambda path: read_checkpoint(whole), mutate, past, tmp_path / f"a{suffix}")
