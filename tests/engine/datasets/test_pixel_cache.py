"""Prepared images: the same whoever decodes them, kept once, never wrong, never in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from db.models import Dataset
from engine.config import REPOSITORY, settings
from engine.datasets import decoding, pixel_cache
from engine.datasets.decoding import Decoders
from engine.datasets.pixel_cache import clear, list_caches, open_cache
from engine.datasets.reader import DatasetIndex, open_index
from engine.datasets.registration import check_folder, register
from engine.datasets.squares import PixelCache
from engine.errors import DatasetInvalid
from engine.evaluation.pipeline import Pipeline
from engine.preprocess import PreprocessSpec, crop_pixels, normalize, open_image
from tests.support.tiny import image_folder

pytestmark = pytest.mark.integration

SPEC = PreprocessSpec(resize=20, crop=16)


@pytest.fixture
def index(url: str, tmp_path: Path) -> DatasetIndex:
    root = image_folder(tmp_path / "set", per_class=10)
    dataset: Dataset = register("tiny", check_folder(root, None, lambda done, total: None), url)
    return open_index(dataset)


def opened(index: DatasetIndex, said: list[str], spec: PreprocessSpec = SPEC) -> PixelCache | None:
    which = np.arange(len(index))
    return open_cache(index.name, index.digest, len(index), which, spec, said.append)


def inputs(index: DatasetIndex, cache: PixelCache | None, threads: int = 2) -> np.ndarray:
    everything = np.arange(len(index))
    pipeline = Pipeline(index, SPEC, cache, threads, 4, everything)
    try:
        batches = [everything[start : start + 4] for start in range(0, len(index), 4)]
        made = pipeline.run(batches, lambda given: given, lambda out, images: out)
        return np.concatenate(list(made))  # type: ignore[arg-type]
    finally:
        pipeline.close()


def expected(index: DatasetIndex) -> np.ndarray:
    return np.stack(
        [normalize(crop_pixels(open_image(index.root / f), SPEC), SPEC) for f in index.files]
    )


@pytest.mark.parametrize("processes_from", [1, 10**6])
@pytest.mark.parametrize("cached", [False, True])
def test_whoever_decodes_the_network_sees_the_same(
    index: DatasetIndex, monkeypatch: pytest.MonkeyPatch, processes_from: int, cached: bool
) -> None:
    monkeypatch.setattr(decoding, "PROCESSES_FROM_IMAGES", processes_from)
    cache = opened(index, []) if cached else None
    for threads in (1, 3):
        assert np.array_equal(inputs(index, cache, threads), expected(index))


def test_a_second_pass_decodes_nothing_whatever_mean_and_deviation(
    index: DatasetIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    cache = opened(index, said)
    first = inputs(index, cache)
    assert "0 of 40 are cached" in said[0]
    monkeypatch.setattr("engine.datasets.squares.open_image", None)
    again = opened(index, said, PreprocessSpec(resize=20, crop=16, mean=(0, 0, 0), std=(1, 1, 1)))
    assert "40 of 40 are cached; none has to be decoded" in said[1]
    assert np.array_equal(inputs(index, again), first)
    other = opened(index, said, PreprocessSpec(resize=18, crop=16))
    assert other is not None
    assert not other.is_cached(np.arange(40)).any()


def test_a_write_that_was_cut_short_is_an_image_that_is_not_there(index: DatasetIndex) -> None:
    cache = opened(index, [])
    assert cache is not None
    whole = inputs(index, cache)
    with (cache.folder / "pixels").open("r+b") as file:
        file.seek(7 * cache.size + 5)
        file.write(b"\x00\xff\x00")
    with (cache.folder / "checks").open("r+b") as file:
        file.seek(9 * 4)
        file.write(b"\x00" * 4)
    square = np.empty((3, 16, 16), np.uint8)
    assert not cache.read(7, square), "damaged"
    assert not cache.read(9, square), "never finished"
    assert cache.read(8, square)
    os.truncate(cache.folder / "pixels", 20 * cache.size)
    assert np.array_equal(inputs(index, opened(index, [])), whole)


def test_where_there_is_no_room_nothing_is_kept_and_that_is_said(
    index: DatasetIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    usage = type("Usage", (), {"free": 5 * 10**8})()
    monkeypatch.setattr("engine.datasets.pixel_cache.shutil.disk_usage", lambda path: usage)
    assert opened(index, said) is None
    assert "0.5 GB of the disk are free" in said[0]
    monkeypatch.setenv("SENET_CACHE_GB", "0.00001")
    settings.cache_clear()
    assert opened(index, said) is None
    assert "SENET_CACHE_GB allows 1e-05 GB" in said[1]
    monkeypatch.setenv("SENET_CACHE_GB", "0")
    settings.cache_clear()
    assert opened(index, said) is None
    assert len(said) == 2, "who wants none need not be told"


def test_what_was_not_used_for_longest_makes_room(
    index: DatasetIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    for resize in (17, 18, 19):
        cache = opened(index, [], PreprocessSpec(resize=resize, crop=16))
        assert cache is not None
        for image in range(len(index)):
            cache.write(image, np.full((3, 16, 16), 7, np.uint8))
        os.utime(cache.folder / pixel_cache.ABOUT, (resize, resize))
    one = list_caches()[0].disk_bytes
    monkeypatch.setenv("SENET_CACHE_GB", str(2.6 * one / 1e9))
    settings.cache_clear()
    assert opened(index, []) is not None
    left = {kept.prepared.split()[2] for kept in list_caches()}
    assert left == {"19", "20"}
    assert clear("elsewhere") == 0
    assert clear("tiny") > 0
    assert list_caches() == []


def test_a_full_disk_ends_the_keeping_not_the_evaluation(
    index: DatasetIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(cache: PixelCache, image: int, square: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PixelCache, "write", full)
    everything = np.arange(len(index))
    pipeline = Pipeline(index, SPEC, opened(index, []), 2, 8, everything)
    made = list(pipeline.run([everything], lambda given: given, lambda out, images: out))
    pipeline.close()
    assert pipeline.cache_is_full
    assert np.array_equal(made[0], expected(index))  # type: ignore[arg-type]


@pytest.mark.parametrize("processes_from", [1, 10**6])
def test_an_image_that_vanished_is_named(
    index: DatasetIndex, monkeypatch: pytest.MonkeyPatch, processes_from: int
) -> None:
    monkeypatch.setattr(decoding, "PROCESSES_FROM_IMAGES", processes_from)
    (index.root / index.files[17]).unlink()
    with pytest.raises(DatasetInvalid, match=rf"'tiny' cannot be preprocessed: {index.files[17]} "):
        inputs(index, None)


def test_a_decoding_process_that_dies_gives_one_sentence(
    index: DatasetIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "PROCESSES_FROM_IMAGES", 1)
    decoders = Decoders(index, SPEC, 4, None, 1, 40)
    alive = [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]
    for child in alive:
        if "engine.datasets.decode_worker" in child.cmdline():
            child.kill()
            child.wait()
    try:
        with pytest.raises(DatasetInvalid, match="process that decodes images ended"):
            decoders.wait(decoders.start(0, np.arange(4), np.ones(4, bool)))
    finally:
        decoders.close()


PARENT = """
import os, sys, time
from pathlib import Path
from engine.datasets import decoding
from engine.preprocess import PreprocessSpec
memory = decoding._anonymous_file(3 * 16 * 16)
child = decoding._Child(Path("."), PreprocessSpec(crop=16), memory, None)
print(child._process.pid, flush=True)
time.sleep(60)
"""


def test_decoding_processes_end_with_their_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=REPOSITORY, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 20
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "the child outlives its parent"
        time.sleep(0.05)
