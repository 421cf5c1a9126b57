"""The statistics cache avoids passes over the images and ignores entries it cannot trust."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.build.int8.pipeline import Calibration, PreparedModel, prepare
from engine.build.int8.statistics import cache
from engine.build.int8.statistics.cache import StatisticsCache, StatisticsSource
from engine.config import settings
from tests.support.mobile import batches, mobile_model

SOURCE = StatisticsSource("onnx/mobile", "e" * 64, "set", "d" * 64, "i" * 64, 12, "p" * 64)


class Images:
    """Counts the passes over all images."""

    def __init__(self) -> None:
        self.passes = 0

    def __call__(self) -> Iterable[np.ndarray]:
        self.passes += 1
        return batches()


def calibrated(
    images: Images,
    mode: str = "mse",
    percentile: float = 99.9,
    statistics_cache: StatisticsCache | None = None,
) -> Calibration:
    return Calibration(
        images,
        mode,
        percentile,
        1,
        lambda stage, seen: None,
        12,
        statistics_cache or StatisticsCache(),
    )


def from_disk(
    messages: list[str] | None = None, source: StatisticsSource = SOURCE
) -> StatisticsCache:
    """A new cache object each time, as in a new build."""
    return StatisticsCache(source, (messages if messages is not None else []).append)


def folder() -> Path:
    return settings().home / "cache" / "calibrations" / SOURCE.key


def equal(first: PreparedModel, second: PreparedModel) -> bool:
    return first.ranges == second.ranges and all(
        np.array_equal(first.channel_means[name], second.channel_means[name])
        for name in first.channel_means
    )


@pytest.mark.parametrize(("mode", "passes"), [("max", 1), ("percentile", 2), ("mse", 2)])
def test_a_second_build_reads_no_images(mode: str, passes: int) -> None:
    first, second, messages = Images(), Images(), list[str]()
    made = prepare(mobile_model(), calibrated(first, mode, statistics_cache=from_disk()))
    again = prepare(mobile_model(), calibrated(second, mode, statistics_cache=from_disk(messages)))
    assert (first.passes, second.passes) == (passes, 0)
    assert equal(made, again)
    assert "Reused from an earlier calibration on the same 12 images: statistics of" in messages[0]
    assert len(messages) == passes, "and the ranges, where there are any to take"


def test_other_excluded_layers_reuse_the_first_pass() -> None:
    images, statistics_cache = Images(), StatisticsCache()
    prepare(mobile_model(), calibrated(images, statistics_cache=statistics_cache))
    assert images.passes == 2
    prepare(mobile_model(), calibrated(images, statistics_cache=statistics_cache), frozenset({"d"}))
    assert images.passes == 3, "what is scaled otherwise is counted anew"
    prepare(mobile_model(), calibrated(images, statistics_cache=statistics_cache), frozenset({"d"}))
    assert images.passes == 3


def test_cached_ranges_equal_new_ones() -> None:
    statistics_cache = StatisticsCache()
    prepare(mobile_model(), calibrated(Images(), statistics_cache=statistics_cache))
    reused = prepare(
        mobile_model(), calibrated(Images(), statistics_cache=statistics_cache), frozenset({"p"})
    )
    assert equal(reused, prepare(mobile_model(), calibrated(Images()), frozenset({"p"})))


def test_another_calibration_method_needs_another_pass() -> None:
    images = Images()
    for mode, percentile in (("mse", 99.9), ("percentile", 99.9), ("percentile", 99.0)):
        prepare(mobile_model(), calibrated(images, mode, percentile, from_disk()))
    assert images.passes == 1 + 3, "one to observe, one to count for each"


@pytest.mark.parametrize(
    "other",
    [
        {"images": "j" * 64},
        {"dataset": "c" * 64},
        {"export": "f" * 64},
        {"preprocess": "q" * 64},
    ],
)
def test_another_source_does_not_hit_the_cache(other: dict[str, str]) -> None:
    prepare(mobile_model(), calibrated(Images(), statistics_cache=from_disk()))
    images = Images()
    statistics_cache = from_disk(source=replace(SOURCE, **other))
    prepare(mobile_model(), calibrated(images, statistics_cache=statistics_cache))
    assert images.passes == 2


def test_another_cache_version_does_not_hit_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(mobile_model(), calibrated(Images(), statistics_cache=from_disk()))
    monkeypatch.setattr(cache, "CACHE_VERSION", "another version")
    images = Images()
    prepare(mobile_model(), calibrated(images, statistics_cache=from_disk()))
    assert images.passes == 2


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(bytes(data))


def change_source(path: Path) -> None:
    if path.suffix == ".json":
        document = json.loads(path.read_text())
        path.write_text(json.dumps({**document, "belongs": "to somebody else"}))
        return
    with np.load(path) as stored:
        columns = dict(stored)
    np.savez(path, **{**columns, "belongs": np.array("to somebody else")})


def make_infinite(path: Path) -> None:
    if path.suffix == ".json":
        document = json.loads(path.read_text())
        ranges = {key: [-float("inf"), 1.0] for key in document["ranges"]}
        path.write_text(json.dumps({**document, "ranges": ranges}))
        return
    with np.load(path) as stored:
        columns = dict(stored)
    np.savez(path, **{**columns, "high": np.full_like(columns["high"], np.inf)})


@pytest.mark.parametrize("name", [cache.STATISTICS_FILE, cache.RANGES_FILE])
@pytest.mark.parametrize("damage", [truncate, flip_a_byte, change_source, make_infinite])
def test_a_damaged_file_or_one_of_another_source_is_replaced(name: str, damage: object) -> None:
    wanted = prepare(mobile_model(), calibrated(Images(), statistics_cache=from_disk()))
    damage(folder() / name)  # type: ignore[operator]
    images = Images()
    assert equal(prepare(mobile_model(), calibrated(images, statistics_cache=from_disk())), wanted)
    assert images.passes == 1, "only what was damaged"
    images = Images()
    prepare(mobile_model(), calibrated(images, statistics_cache=from_disk()))
    assert images.passes == 0, "it is whole again"


def test_a_full_disk_does_not_fail_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    messages: list[str] = []
    prepare(mobile_model(), calibrated(Images(), statistics_cache=from_disk(messages)))
    assert messages[0] == "Calibration statistics could not be cached: No space left on device."


def test_cache_entries_are_listed_and_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        source = replace(SOURCE, export=str(number) * 64, dataset_name=f"set{number}")
        prepare(mobile_model(), calibrated(Images(), statistics_cache=from_disk(source=source)))
    entries = cache.list_cached()
    assert [one.dataset_name for one in entries] == ["set2", "set1", "set0"]
    assert {(one.model_id, one.images) for one in entries} == {("onnx/mobile", 12)}
    assert cache.clear("set1") == entries[1].disk_bytes > 0
    assert [one.dataset_name for one in cache.list_cached()] == ["set2", "set0"]
    monkeypatch.setattr(cache, "MAX_ENTRIES", 1)
    prepare(mobile_model(), calibrated(Images(), statistics_cache=from_disk()))
    assert [one.dataset_name for one in cache.list_cached()] == ["set"]
