"""What is known is not looked for again; what cannot be trusted is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.build.int8.pipeline import Calibration, Prepared, prepare
from engine.build.int8.statistics import cache
from engine.build.int8.statistics.cache import Known, Subject
from engine.config import settings
from tests.support.mobile import batches, mobile_model

SUBJECT = Subject("onnx/mobile", "e" * 64, "set", "d" * 64, "i" * 64, 12, "p" * 64)


class Images:
    """Counts how often all images are gone through."""

    def __init__(self) -> None:
        self.passes = 0

    def __call__(self) -> Iterable[np.ndarray]:
        self.passes += 1
        return batches()


def calibrated(
    images: Images, mode: str = "mse", percentile: float = 99.9, store: Known | None = None
) -> Calibration:
    return Calibration(images, mode, percentile, 1, lambda stage, seen: None, 12, store or Known())


def from_disk(said: list[str] | None = None, subject: Subject = SUBJECT) -> Known:
    """A new object each time, as a new build has."""
    return Known(subject, (said if said is not None else []).append)


def folder() -> Path:
    return settings().home / "cache" / "calibrations" / SUBJECT.key


def same(first: Prepared, second: Prepared) -> bool:
    return first.ranges == second.ranges and all(
        np.array_equal(first.means[name], second.means[name]) for name in first.means
    )


@pytest.mark.parametrize(("mode", "passes"), [("max", 1), ("percentile", 2), ("mse", 2)])
def test_a_second_build_goes_through_no_image(mode: str, passes: int) -> None:
    first, second, said = Images(), Images(), list[str]()
    made = prepare(mobile_model(), calibrated(first, mode, store=from_disk()))
    again = prepare(mobile_model(), calibrated(second, mode, store=from_disk(said)))
    assert (first.passes, second.passes) == (passes, 0)
    assert same(made, again)
    assert "Known from an earlier calibration on the same 12 images: statistics of" in said[0]
    assert len(said) == passes, "and the ranges, where there are any to take"


def test_layers_kept_in_float_share_the_first_pass() -> None:
    images, store = Images(), Known()
    prepare(mobile_model(), calibrated(images, store=store))
    assert images.passes == 2
    prepare(mobile_model(), calibrated(images, store=store), frozenset({"d"}))
    assert images.passes == 3, "what is scaled otherwise is counted anew"
    prepare(mobile_model(), calibrated(images, store=store), frozenset({"d"}))
    assert images.passes == 3


def test_ranges_that_are_reused_are_those_that_would_be_found() -> None:
    store = Known()
    prepare(mobile_model(), calibrated(Images(), store=store))
    reused = prepare(mobile_model(), calibrated(Images(), store=store), frozenset({"p"}))
    assert same(reused, prepare(mobile_model(), calibrated(Images()), frozenset({"p"})))


def test_another_way_to_take_ranges_counts_anew() -> None:
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
def test_another_subject_knows_nothing(other: dict[str, str]) -> None:
    prepare(mobile_model(), calibrated(Images(), store=from_disk()))
    images = Images()
    store = from_disk(subject=replace(SUBJECT, **other))
    prepare(mobile_model(), calibrated(images, store=store))
    assert images.passes == 2


def test_another_version_of_the_recipe_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(mobile_model(), calibrated(Images(), store=from_disk()))
    monkeypatch.setattr(cache, "RECIPE", "of another day")
    images = Images()
    prepare(mobile_model(), calibrated(images, store=from_disk()))
    assert images.passes == 2


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def turn_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(bytes(data))


def make_foreign(path: Path) -> None:
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


@pytest.mark.parametrize("name", [cache.STATS, cache.RANGES])
@pytest.mark.parametrize("damage", [cut, turn_a_byte, make_foreign, make_infinite])
def test_a_damaged_or_foreign_file_is_left_aside_and_written_anew(
    name: str, damage: object
) -> None:
    wanted = prepare(mobile_model(), calibrated(Images(), store=from_disk()))
    damage(folder() / name)  # type: ignore[operator]
    images = Images()
    assert same(prepare(mobile_model(), calibrated(images, store=from_disk())), wanted)
    assert images.passes == 1, "only what was damaged"
    images = Images()
    prepare(mobile_model(), calibrated(images, store=from_disk()))
    assert images.passes == 0, "it is whole again"


def test_a_disk_that_takes_nothing_costs_no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    said: list[str] = []
    prepare(mobile_model(), calibrated(Images(), store=from_disk(said)))
    assert said[0] == "What calibration found could not be kept: No space left on device."


def test_what_is_kept_is_listed_and_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        subject = replace(SUBJECT, export=str(number) * 64, dataset_name=f"set{number}")
        prepare(mobile_model(), calibrated(Images(), store=from_disk(subject=subject)))
    kept = cache.all_kept()
    assert [one.dataset_name for one in kept] == ["set2", "set1", "set0"]
    assert {(one.model_id, one.images) for one in kept} == {("onnx/mobile", 12)}
    assert cache.clear("set1") == kept[1].disk_bytes > 0
    assert [one.dataset_name for one in cache.all_kept()] == ["set2", "set0"]
    monkeypatch.setattr(cache, "MOST_KEPT", 1)
    prepare(mobile_model(), calibrated(Images(), store=from_disk()))
    assert [one.dataset_name for one in cache.all_kept()] == ["set"]
