"""The demo set is reproducible, whole and hard enough; its stored weights are what they claim."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import engine.demo
from engine.demo import images
from engine.demo.images import (
    CALIBRATION,
    CLASS_NAMES,
    EVALUATION,
    IMAGE_SIZE,
    TRAINING,
    Split,
    draw_image,
    write_split,
)
from engine.demo.shapes import SHAPES
from engine.demo.textures import TEXTURES

pytestmark = pytest.mark.integration

WEIGHTS = Path(engine.demo.__file__).parent / "weights.safetensors"
TINY = Split("tiny", per_class=2, first_seed=7)
LABELS = range(len(CLASS_NAMES))


def test_classes_are_sorted_file_names() -> None:
    assert len(CLASS_NAMES) == 16
    assert list(CLASS_NAMES) == sorted(set(CLASS_NAMES))
    assert all(name.replace("_", "").isalpha() and name.islower() for name in CLASS_NAMES)


@pytest.mark.parametrize("label", LABELS)
def test_an_image_depends_on_label_and_seed_alone(label: int) -> None:
    first = draw_image(label, 3)
    np.random.seed(1)  # the global generator must not matter
    assert first.dtype == np.uint8
    assert first.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    assert draw_image(label, 3).tobytes() == first.tobytes()
    assert draw_image(label, 4).tobytes() != first.tobytes()
    assert draw_image((label + 1) % 16, 3).tobytes() != first.tobytes()


def test_another_process_draws_the_same_pixels() -> None:
    program = (
        "import hashlib; from engine.demo.images import draw_image;"
        "print(hashlib.sha256(b''.join(draw_image(k, 5).tobytes() for k in range(16))).hexdigest())"
    )
    outputs = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(outputs) == 1


def test_drawing_needs_no_torch() -> None:
    program = "import sys, engine.demo.images; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_splits_share_no_image() -> None:
    spans = sorted((s.first_seed, s.first_seed + s.per_class) for s in _splits())
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    assert EVALUATION.per_class * len(CLASS_NAMES) >= 2_000
    drawn = {draw_image(0, split.first_seed).tobytes() for split in _splits()}
    assert len(drawn) == 3


def _splits() -> tuple[Split, ...]:
    return EVALUATION, CALIBRATION, TRAINING


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_shapes_are_signed_distances(name: str) -> None:
    axis = np.linspace(-2.0, 2.0, 81, dtype=np.float32)
    u, v = np.meshgrid(axis, axis)
    for proportion in (0.0, 0.5, 1.0):
        distance = SHAPES[name](u, v, proportion)
        inside_share = (distance < 0).mean() * 16 / np.pi  # of the unit disc's area
        assert distance.dtype == np.float32
        assert 0.15 < inside_share < 1.05
        assert (distance[u * u + v * v > 1.25**2] > 0).all()  # nothing leaves the canvas
        assert np.abs(np.diff(distance, axis=0)).max() < 0.08  # no jump: a step is 0.05


@pytest.mark.parametrize("texture", TEXTURES)
def test_textures_stay_between_their_two_colors(texture: object) -> None:
    x = np.arange(-20, 20, dtype=np.float32)[None, :]
    y = np.arange(-10, 10, dtype=np.float32)[:, None]
    for seed in range(20):
        values = texture(np.random.default_rng(seed), x, y)  # type: ignore[operator]
        assert values.shape == (20, 40)
        assert 0.0 <= values.min() <= values.max() <= 1.0


def test_write_split_gives_one_folder_a_class(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_split(TINY, tmp_path / "deep" / "set", lambda done, total: calls.append((done, total)))
    files = sorted((tmp_path / "deep" / "set").rglob("*.png"))
    assert [f"{f.parent.name}/{f.name}" for f in files] == [
        f"{name}/{index:05d}.png" for name in CLASS_NAMES for index in range(2)
    ]
    assert calls == [(done, 32) for done in range(1, 33)]
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["set"]
    for index, file in enumerate(files):
        label, seed = index // 2, TINY.first_seed + index % 2
        assert np.array_equal(np.asarray(Image.open(file)), draw_image(label, seed))


def test_write_split_leaves_a_finished_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_split(TINY, tmp_path / "set")
    monkeypatch.setattr(images, "draw_image", _must_not_draw)
    write_split(TINY, tmp_path / "set")


def _must_not_draw(label: int, seed: int) -> np.ndarray:
    raise AssertionError("a finished split was drawn again")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise error

    with pytest.raises(error):
        write_split(TINY, tmp_path / "set", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_split_both_succeed(tmp_path: Path) -> None:
    other_finished = False

    def other_writes_too(done: int, total: int) -> None:
        nonlocal other_finished
        if not other_finished:
            other_finished = True
            write_split(TINY, tmp_path / "set")

    write_split(TINY, tmp_path / "set", other_writes_too)
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]
    assert len(list((tmp_path / "set").rglob("*.png"))) == 32


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads of small networks wait for each other when other tests hold the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_stored_weights_fit_the_network_and_score_in_the_stated_band() -> None:
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file

    from engine.demo.network import build_network
    from engine.demo.train import draw_split, top1_percent

    assert WEIGHTS.stat().st_size <= 4_000_000
    with safe_open(WEIGHTS, framework="pt") as file:
        stated = float(file.metadata()["top1_percent"])
    network = build_network()
    network.load_state_dict(load_file(WEIGHTS), strict=True)
    few = draw_split(Split("part of evaluation", 20, EVALUATION.first_seed))
    measured = top1_percent(network, few)
    assert 85.0 <= stated <= 97.0
    assert 80.0 <= measured < 100.0
    assert abs(measured - stated) < 6.0  # 3.5 standard errors of 320 images
    with torch.inference_mode():
        assert network(torch.zeros(3, 3, 64, 64)).shape == (3, len(CLASS_NAMES))


@pytest.mark.usefixtures("one_thread")
def test_training_repeats_itself_and_saves_whole_files(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from engine.demo.train import draw_split, save_weights, train

    few = draw_split(Split("few", per_class=4, first_seed=TRAINING.first_seed))
    network = train(few, epochs=1, seed=0)
    same, other = train(few, epochs=1, seed=0).state_dict(), train(few, epochs=1, seed=1)
    assert all(torch.equal(same[name], tensor) for name, tensor in network.state_dict().items())
    assert not torch.equal(same["classifier.weight"], other.state_dict()["classifier.weight"])

    save_weights(network, tmp_path / "sub" / "w.safetensors", {"seed": "0"})
    assert [entry.name for entry in (tmp_path / "sub").iterdir()] == ["w.safetensors"]
    loaded = load_file(tmp_path / "sub" / "w.safetensors")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in same.items())
