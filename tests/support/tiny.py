"""A tiny SE network and a tiny image folder, made by hand: what most tests of the engine run on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper
from PIL import Image

from db.enums import ArtifactKind, Precision, WeightsKind
from db.models import Artifact, Dataset, Weights
from db.session import writing
from engine.catalog.models import CatalogModel
from engine.common.digests import file_digest
from engine.datasets.locating import class_line, dataset_digest
from engine.datasets.registration import check_folder, register
from engine.jobs import queue as jobs
from engine.jobs.context import JobContext
from engine.onnx import graph_io
from engine.preprocess import PreprocessSpec, open_image, preprocess
from engine.runtimes.onnxruntime import OnnxSession
from engine.store import artifacts
from engine.store.database import record_model
from engine.store.manifest import BuildManifest

SIDE, CLASSES = 16, 4
PREPROCESS = PreprocessSpec(resize=None, crop=SIDE, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def tiny_se_model(classes: int = CLASSES, seed: int = 0) -> ModelProto:
    """conv -> SE (ReduceMean, two 1x1 convs, Sigmoid, Mul) -> mean -> gemm, opset 18."""
    random = np.random.default_rng(seed)
    constants = {
        "w": random.normal(0, 0.4, (8, 3, 3, 3)),
        "w1": random.normal(0, 0.5, (4, 8, 1, 1)),
        "w2": random.normal(0, 0.5, (8, 4, 1, 1)),
        "fc": random.normal(0, 0.8, (classes, 8)),
    }
    initializers = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()]
    initializers.append(numpy_helper.from_array(np.array([2, 3]), "axes"))
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("ReduceMean", ["r", "axes"], ["s"], name="squeeze", keepdims=1),
        helper.make_node("Conv", ["s", "w1"], ["e1"], name="fc1"),
        helper.make_node("Relu", ["e1"], ["e2"], name="relu1"),
        helper.make_node("Conv", ["e2", "w2"], ["e3"], name="fc2"),
        helper.make_node("Sigmoid", ["e3"], ["g"], name="gate"),
        helper.make_node("Mul", ["r", "g"], ["m"], name="excite"),
        helper.make_node("ReduceMean", ["m", "axes"], ["p"], name="pool", keepdims=0),
        helper.make_node("Gemm", ["p", "fc"], ["logits"], name="head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def store_build(
    url: str,
    model: ModelProto,
    precision: Precision = Precision.FP32,
    model_id: str = "onnx/tiny",
    weights_kind: WeightsKind = WeightsKind.FILE,
    **manifest: Any,
) -> Artifact:
    """Puts a model into the store as a finished build."""
    source, _, name = model_id.partition("/")
    record_model(CatalogModel(source=source, name=name, architecture=name), url)
    weights = Weights(
        digest="0" * 64, model_id=model_id, kind=weights_kind, origin="test", size_bytes=1
    )
    artifacts.record_weights(weights, url)
    folder = artifacts.settings().folder("tmp") / "made"
    folder.mkdir()
    graph_io.save(model, folder / artifacts.MODEL_FILE)
    about = {
        "preprocess": PREPROCESS.to_dict(),
        "classes": graph_io.shape_of(model.graph.output[0])[-1],
        "background": None,
        "compute": {"gmacs": 0.001, "params_m": 0.01},
        "build": {},
        **manifest,
    }
    new = artifacts.NewArtifact(
        recipe=f"recipe-{precision}-{model_id}",
        kind=ArtifactKind.BUILD,
        model_id=model_id,
        weights_digest="0" * 64,
        weights_kind=weights_kind,
        precision=precision,
        manifest=BuildManifest.model_validate(about),
    )
    return artifacts.store(folder, new, url)


def image_folder(root: Path, per_class: int = 30, classes: int = CLASSES) -> Path:
    """A folder per class of small PNG images, each class with a color of its own."""
    random = np.random.default_rng(1)
    for label in range(classes):
        folder = root / f"class{label}"
        folder.mkdir(parents=True)
        base = random.integers(40, 215, 3)
        for number in range(per_class):
            noise = random.integers(-40, 40, (SIDE, SIDE, 3))
            pixels = np.clip(base + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return root


def labeled_by(model: ModelProto, root: Path, url: str, shift: int = 0) -> Dataset:
    """Registers a folder as `tiny`, each image labeled with the class the model gives it.

    So the fp32 model is right on all of them, which no guess is; with a `shift` on none.
    """
    path = root.parent / "labeller.onnx"
    onnx.save(model, path)
    runtime = OnnxSession(path, "CPUExecutionProvider", 1)
    found = check_folder(root, None, lambda done, total: None)
    images = [preprocess(open_image(root / name), PREPROCESS) for name in found.files]
    given = runtime.run(np.stack(images))
    classes = given.shape[1]
    labels = (given.argmax(1) + shift) % classes
    names = tuple(f"class {i}" for i in range(classes))
    lines = [
        f"{file}\0{file_digest(root / file)}\0{label}\n"
        for file, label in zip(found.files, labels, strict=True)
    ]
    labeled = replace(
        found,
        labels=tuple(int(label) for label in labels),
        classes=names,
        digest=dataset_digest([*lines, class_line([found.source, names, found.present])]),
    )
    return register("tiny", labeled, url)


class Quiet(JobContext):
    """The context of a job that is claimed but has no process; remembers what was said."""

    def __init__(self, url: str, workspace: Path) -> None:
        workspace.mkdir(parents=True, exist_ok=True)
        new = jobs.NewJob(kind="test", title="test", params={"workspace": str(workspace)})
        with writing(url) as session:
            job_id = jobs.submit(session, new)
        attempt = jobs.claim(url, job_id, host="test", pid=1, lease_s=600)
        assert attempt is not None
        super().__init__(url, job_id, attempt, workspace)
        self.said: list[str] = []

    def _write(self, values: dict[str, object]) -> None:
        super()._write(values)
        if values.get("message"):
            self.said.append(str(values["message"]))


def scores(model: ModelProto, folder: Path) -> np.ndarray:
    """float32 (2, classes): what a model file computes on a seeded batch."""
    path = folder / "m.onnx"
    onnx.save(model, path)
    batch = np.random.default_rng(0).normal(size=(2, 3, SIDE, SIDE)).astype(np.float32)
    return OnnxSession(path, "CPUExecutionProvider", 1).run(batch)
