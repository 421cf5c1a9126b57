"""What the child process answers is what the functions give here; what goes wrong is a sentence."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from PIL import Image

from db.models import Artifact
from engine.classify import client, worker
from engine.classify.predict import Classification, Classifier
from engine.errors import ArtifactMissing, ChildFailed, ImageRejected, InvalidRequest
from engine.excitations.per_image import Excitations
from engine.jobs.warm_child import WarmChild
from engine.preprocess.decode import MAX_PIXELS
from tests.support.tiny import store_build, tiny_se_model


@pytest.fixture(autouse=True)
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[WarmChild]:
    """One of this test, killed after it."""
    found = WarmChild(client.child.table, "classification")
    monkeypatch.setattr(client, "child", found)
    yield found
    if found.pid is not None:
        os.kill(found.pid, signal.SIGKILL)


def image(seed: int = 0, side: int = 40) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 9, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def assert_same(found: Classification, expected: Classification) -> None:
    assert [(g.index, g.name) for g in found.predictions] == [
        (g.index, g.name) for g in expected.predictions
    ]
    probabilities = [guess.probability for guess in expected.predictions]
    assert [guess.probability for guess in found.predictions] == pytest.approx(probabilities)
    assert found.crop.dtype == np.uint8
    assert np.array_equal(found.crop, expected.crop)


def test_the_child_says_what_the_function_says(url: str) -> None:
    build = store_build(url, tiny_se_model())
    found = client.classify(build.digest, image(), "noise.png")
    assert_same(found, Classifier(build).classify(image()))
    assert min(found.decode_ms, found.prepare_ms, found.infer_ms) > 0


def test_the_gates_are_those_read_here(url: str) -> None:
    build = store_build(url, tiny_se_model())
    found = client.excitations(build.digest, image(), "noise.png")
    network = Excitations(build)
    assert list(found.blocks) == network.blocks
    for values, expected in zip(found.values, network.image_weights(image()), strict=True):
        assert values.dtype == np.float32
        assert values == pytest.approx(expected, abs=1e-6)


def test_sessions_at_once_get_the_answers_to_their_own_images(url: str) -> None:
    builds = [
        store_build(url, tiny_se_model(seed=seed), model_id=f"onnx/tiny{seed}") for seed in range(2)
    ]
    asked = [(build, seed) for seed in range(12) for build in builds]
    with ThreadPoolExecutor(6) as pool:
        found = list(
            pool.map(lambda one: client.classify(one[0].digest, image(one[1]), "n.png"), asked)
        )
    here = {build.digest: Classifier(build) for build in builds}
    for answer, (build, seed) in zip(found, asked, strict=True):
        assert_same(answer, here[build.digest].classify(image(seed)))


def test_images_are_refused_by_the_child_as_they_are_here(url: str, child: WarmChild) -> None:
    build = store_build(url, tiny_se_model())
    client.classify(build.digest, image(), "noise.png")
    pid = child.pid
    bomb = io.BytesIO()
    Image.new("1", (MAX_PIXELS // 1000 + 1, 1000)).save(bomb, "PNG")
    for data, why in ((b"", "is empty"), (image()[:200], "truncated"), (bomb.getvalue(), "large")):
        with pytest.raises(ImageRejected, match=f"^cat.png .*{why}"):
            client.classify(build.digest, data, "cat.png")
    assert child.pid == pid


def test_what_cannot_be_loaded_is_told(url: str) -> None:
    with pytest.raises(ArtifactMissing, match="No artifact starts with"):
        client.classify("e" * 64, image(), "noise.png")
    plain = store_build(url, without_se(), model_id="onnx/plain")
    with pytest.raises(InvalidRequest, match="no SE block"):
        client.excitations(plain.digest, image(), "noise.png")


def test_a_model_that_never_ends_is_stopped_and_the_next_one_is_answered(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = store_build(url, tiny_se_model())
    client.classify(build.digest, image(), "noise.png")
    endless = store_build(url, never_ending(), model_id="onnx/endless")
    with monkeypatch.context() as patch:
        patch.setattr(client, "TIMEOUT_S", 3.0)
        with pytest.raises(ChildFailed, match="No answer within 3 s"):
            client.classify(endless.digest, image(), "noise.png")
    assert client.classify(build.digest, image(), "noise.png").predictions


def test_the_oldest_model_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_loaded", type(worker._loaded)())
    monkeypatch.setattr(worker, "MAX_LOADED", 2)
    monkeypatch.setattr(worker.artifacts, "find_by_digest", lambda digest, url: digest)
    made: list[Artifact] = []

    def load(artifact: Artifact) -> Artifact:
        made.append(artifact)
        return artifact

    assert [worker.load_cached(load, digest, ("x",)) for digest in "abaca"] == list("abaca")
    assert made == ["a", "b", "c"]
    worker.load_cached(load, "b", ("x",))
    assert made == ["a", "b", "c", "b"]
    monkeypatch.setattr(worker, "memory_limit", lambda: 0)
    worker.load_cached(load, "d", ("x",))
    assert len(worker._loaded) == 1


def without_se() -> ModelProto:
    model = tiny_se_model()
    for node in model.graph.node:
        if node.name == "pool":
            node.input[0] = "r"
    kept = [node for node in model.graph.node if node.name in ("conv", "relu", "pool", "head")]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def never_ending() -> ModelProto:
    """The scores of the tiny network, negated without an end."""
    model = tiny_se_model()
    model.graph.node[-1].output[0] = "scores"
    flag = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Neg", ["before"], ["after"]),
        ],
        "body",
        [
            flag("turn", TensorProto.INT64, []),
            flag("go", TensorProto.BOOL, []),
            flag("before", TensorProto.FLOAT, None),
        ],
        [flag("still", TensorProto.BOOL, []), flag("after", TensorProto.FLOAT, None)],
    )
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(2**62), "turns"),
            numpy_helper.from_array(np.array(True), "yes"),
        ]
    )
    loop = helper.make_node("Loop", ["turns", "yes", "scores"], ["logits"], body=body)
    model.graph.node.append(loop)
    onnx.checker.check_model(model)
    return model
