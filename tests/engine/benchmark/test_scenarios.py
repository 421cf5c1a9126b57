"""The scenarios as jobs on a tiny network, their labels, and what cannot be asked for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats as scipy_stats

from db.models import Benchmark
from db.session import reading
from engine.benchmark import job
from engine.benchmark.measurers import p90_estimate
from engine.benchmark.scenarios.definitions import requested_label, scenario_label, verdict_text
from engine.benchmark.scenarios.end_to_end import STAGES, FilePasses, readable_files
from engine.benchmark.scenarios.offline import OfflinePasses, take_pass
from engine.datasets.reader import open_index
from engine.errors import BenchmarkFailed
from engine.preprocess import open_image, preprocess
from engine.specs import BenchmarkSpec
from engine.store.protocols import BenchmarkProtocol, ScenarioFacts
from tests.support.tiny import (
    PREPROCESS,
    Quiet,
    image_folder,
    labeled_by,
    store_build,
    tiny_se_model,
)


def run(url: str, tmp_path: Path, **options: Any) -> Benchmark:
    artifact = store_build(url, tiny_se_model())
    quick = {"window_s": 0.05, "max_s": 3, "tolerance": 0.5, "threads": 1}
    spec = BenchmarkSpec.model_validate({"artifact": artifact.digest, **quick, **options})
    result = job.run(spec.to_json(), Quiet(url, tmp_path / "work"))
    with reading(url) as session:
        return session.get_one(Benchmark, result["benchmark"])


def scenario_of(row: Benchmark) -> ScenarioFacts:
    found = BenchmarkProtocol.from_row(row).scenario
    assert found is not None
    return found


@pytest.mark.serial
def test_single_stream_is_the_p90_of_one_request_at_a_time(url: str, tmp_path: Path) -> None:
    row = run(url, tmp_path, scenario="single-stream")
    told = scenario_of(row)
    assert row.samples >= 100
    assert told.p90_ms == row.latency_p90_ms
    assert told.p90_estimate_ms >= told.p90_ms * 0.999
    assert scenario_label(told) == "single stream"


def test_end_to_end_is_from_the_files_to_the_scores(url: str, tmp_path: Path) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set", per_class=3), url)
    row = run(url, tmp_path, scenario="end-to-end", dataset="tiny", batch=2, instances=2)
    told, protocol = scenario_of(row), BenchmarkProtocol.from_row(row)
    assert told.files == 12
    assert tuple(told.stages_ms) == STAGES
    assert sum(told.stages_ms.values()) == pytest.approx(row.latency_mean_ms, rel=1e-3)
    assert min(told.stages_ms.values()) > 0
    assert row.samples % 6 == 0, "whole passes over 12 files in requests of 2"
    assert protocol.input == "12 image files of tiny"
    assert scenario_label(told) == f"end to end on tiny ({told.dataset_digest[:8]})"


def test_every_window_has_the_same_files_as_an_evaluation_prepares_them(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "set", per_class=3)
    files = sorted(root.rglob("*.png"))[:5]
    sent: list[np.ndarray] = []
    passes = FilePasses([sent.append], files, PREPROCESS, batch=2)
    window = passes.take(0.0)
    assert (window.images, len(window.latencies_ms), len(sent)) == (6, 3, 3)
    expected = [preprocess(open_image(file), PREPROCESS) for file in [*files, files[0]]]
    assert np.array_equal(np.concatenate(sent), np.stack(expected))
    passes.take(0.0)
    assert all(np.array_equal(a, b) for a, b in zip(sent[:3], sent[3:], strict=True))
    assert set(passes.mean_stages_ms(2)) == set(STAGES)


def test_files_that_cannot_be_read_are_left_out_and_none_is_a_sentence(
    url: str, tmp_path: Path
) -> None:
    dataset = labeled_by(tiny_se_model(), image_folder(tmp_path / "set", per_class=3), url)
    index = open_index(dataset)
    (index.root / index.files[0]).write_bytes(b"no image")
    assert len(readable_files(index, PREPROCESS)) == 11
    for name in index.files:
        (index.root / name).write_bytes(b"no image")
    with pytest.raises(BenchmarkFailed, match="No image of tiny can be read"):
        readable_files(index, PREPROCESS)


@pytest.mark.parametrize(("count", "set_aside"), [(2048, 172), (2145, 181), (2116, 178), (64, 0)])
def test_the_estimate_sets_aside_as_many_as_loadgen_does(count: int, set_aside: int) -> None:
    """The counts are from summaries that MLPerf's own LoadGen wrote."""
    latencies = np.random.default_rng(0).permutation(np.arange(count, dtype=float))
    assert p90_estimate(latencies) == count - 1 - set_aside
    assert scipy_stats.binom.cdf(set_aside, count, 0.1) <= 0.01


def test_under_64_requests_there_is_no_estimate() -> None:
    assert p90_estimate(np.arange(63.0)) is None


@pytest.mark.serial
def test_offline_has_a_throughput_and_no_latency(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.benchmark.measurers.PASS_S", 0.05)
    row = run(url, tmp_path, scenario="offline", batch=4, instances=2)
    assert row.images_per_s > 0
    assert row.latency_p50_ms is None
    assert row.latency_p99_ms is None
    assert scenario_label(scenario_of(row)) == "offline"
    assert all(images % 4 == 0 for images in scenario_of(row).samples_a_pass)


def test_a_pass_does_each_sample_once_and_ends_with_the_last() -> None:
    lock, calls = threading.Lock(), []

    def runner(name: str) -> Any:
        def ask() -> None:
            with lock:
                calls.append(name)

        return ask

    found = take_pass([runner("a"), runner("b")], batch=8, requests=50)
    assert len(calls) == 50
    assert found.images == 400
    assert found.latencies_ms.size == 50
    assert found.elapsed_s == pytest.approx(found.latencies_ms.max() / 1e3)


def test_the_next_pass_is_as_long_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner of 100 requests a second: two seconds are 200 of them."""
    asked = []

    def fake(runners: Any, batch: int, requests: int) -> Any:
        asked.append(requests)
        return type("W", (), {"images_per_s": 100.0 * batch})()

    monkeypatch.setattr("engine.benchmark.scenarios.offline.take_pass", fake)
    passes = OfflinePasses([lambda: None] * 3, batch=4)
    passes.take(2.0)
    passes.take(2.0)
    assert asked == [6, 200]


@pytest.mark.serial
def test_server_at_a_rate_is_valid_when_the_limit_is_far(url: str, tmp_path: Path) -> None:
    row = run(url, tmp_path, scenario="server", rate_per_s=300, limit_ms=1000.0)
    told = scenario_of(row)
    assert told.valid is True
    assert row.samples == 900, "three seconds of 300"
    assert row.images_per_s == pytest.approx(300, rel=0.1)
    assert row.stable is None
    assert scenario_label(told) == "server, at 300 requests/s, p99 ≤ 1000 ms"
    assert verdict_text(told) == "valid: 0 of 900 requests exceeded 1000 ms, allowed are 2"


@pytest.mark.serial
def test_server_searches_the_highest_rate(url: str, tmp_path: Path) -> None:
    row = run(url, tmp_path, scenario="server", limit_ms=200.0)
    told = scenario_of(row)
    assert scenario_label(told) == "server, highest rate, p99 ≤ 200 ms"
    assert len(told.tried) >= 2
    valid = [one.rate_per_s for one in told.tried if one.valid]
    assert told.rate_per_s == pytest.approx(max(valid), abs=1e-3)


@pytest.mark.serial
def test_server_with_an_impossible_limit_is_invalid_with_the_reason(
    url: str, tmp_path: Path
) -> None:
    row = run(url, tmp_path, scenario="server", rate_per_s=300, limit_ms=1e-6)
    assert scenario_of(row).valid is False
    assert verdict_text(scenario_of(row)).startswith("invalid: 900 of 900 requests")


@pytest.mark.serial
def test_where_no_rate_is_found_the_verdict_says_how_far_it_looked(
    url: str, tmp_path: Path
) -> None:
    told = scenario_of(run(url, tmp_path, scenario="server", limit_ms=1e-6))
    assert told.valid is False
    assert told.reason.startswith(f"no rate from {told.rate_per_s:,.1f} requests/s meets")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"scenario": "single-stream", "batch": 2}, "one image at a time"),
        ({"scenario": "single-stream", "instances": 2}, "one image at a time"),
        ({"scenario": "server"}, "needs a limit on the p99"),
        ({"limit_ms": 20.0}, "apply to scenario server"),
        ({"scenario": "offline", "rate_per_s": 5.0}, "apply to scenario server"),
        ({"scenario": "offline", "processes": 2}, "runs in one process"),
        ({"scenario": "end-to-end"}, "sends image files: select a dataset"),
        ({"scenario": "end-to-end", "dataset": "d", "processes": 2}, "runs in one process"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        BenchmarkSpec.model_validate({"artifact": "x", **options})


def test_a_request_and_its_result_have_one_label() -> None:
    searched = BenchmarkSpec(artifact="x", scenario="server", limit_ms=20)
    assert requested_label(searched) == "server, highest rate, p99 ≤ 20 ms"
    assert requested_label(BenchmarkSpec(artifact="x")) == scenario_label(None) == "closed loop"
