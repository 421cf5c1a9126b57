"""How close to the limit: the peak on System, shares in tables and cards, where the time goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from dashboard.charts.common import hover_card
from dashboard.charts.profile import time_by_operator
from dashboard.components.details.profile import coverage, show_profile, takeaway
from dashboard.palette import DARK, LIGHT
from db.enums import ArtifactKind, JobKind
from db.models import Artifact, Job
from db.session import reading
from engine.common import environment
from engine.peak.records import Speed, save_peaks
from engine.profiling import records
from engine.profiling.summary import sum_times, times_by_operator
from engine.results import results_frame
from tests.support import rows
from tests.support.pages import opened

PLAIN: list[dict[str, Any]] = [
    {"name": "conv", "op": "Conv", "ms": 6.0, "se_block": None, "inserted": False},
    {"name": "fc", "op": "Conv", "ms": 1.0, "se_block": 1, "inserted": False},
    {"name": "gate", "op": "Mul", "ms": 2.0, "se_block": 1, "inserted": False},
    {"name": "cast", "op": "Cast", "ms": 1.0, "se_block": None, "inserted": True},
]
NODES = [records.NodeFacts(**node, output=[1, 8, 7, 7], provider="CPU") for node in PLAIN]


def profile(digest: str, **values: object) -> records.Profile:
    return records.Profile.model_validate(
        {
            "artifact": digest,
            "model_id": "timm/seresnet50",
            "precision": "fp32",
            "provider": "CPUExecutionProvider",
            "batch": 1,
            "threads": 2,
            "environment": rows.MACHINE,
            "machine": "A CPU, 2 cores",
            "noise": [],
            "made_at": 1e9,
            "runs": 20,
            "latency_ms": 10.5,
            "wall_ms": 12.5,
            "nodes": NODES,
            **values,
        }
    )


def test_the_peak_is_shown_and_measured_again_on_request(url: str) -> None:
    app = opened("system")
    assert any("is measured once" in caption.value for caption in app.caption)
    digest = environment.record(environment.observe_machine(), url)
    save_peaks(digest, [Speed("a product", "fp32", 1, 1, 57.0, 56.0)], ["it was busy"], url)
    app = opened("system")
    assert not app.exception
    tables = [table.value for table in app.dataframe]
    (peaks,) = [table for table in tables if "gmacs_per_s" in table]
    assert peaks["gmacs_per_s"].tolist() == [57.0]
    assert any("it was busy" in warning.value for warning in app.warning)
    app.button(key="peak").click().run()
    with reading(url) as session:
        (job,) = session.scalars(select(Job).where(Job.kind == JobKind.PEAK))
    assert job.exclusive
    assert 1 in job.params["threads"]


def test_shares_stand_in_the_table_and_on_the_card(url: str) -> None:
    rows.add_measured_model(url)
    assert results_frame(url)["peak_share"].isna().all()
    before = hover_card({**results_frame(url).iloc[0].to_dict(), "label": "x"})
    assert "peak" not in before
    achieved = results_frame(url).set_index("precision")["achieved_gmacs_per_s"]
    save_peaks(rows.MACHINE, [Speed("a", "fp32", 2, 1, 4 * achieved["fp32"], 1.0)], [], url)
    frame = results_frame(url).set_index("precision")
    assert frame.loc["fp32", "peak_share"] == pytest.approx(25)
    assert pd.isna(frame.loc["int8", "peak_share"])
    row = {**frame.loc["fp32"].to_dict(), "precision": "fp32", "label": "x"}
    assert "25 % of the machine's peak" in hover_card(row)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_bars_add_up_to_the_operators(palette: object) -> None:
    figure = time_by_operator(times_by_operator(NODES), "#000000", palette)
    elsewhere, in_se = figure.data
    assert [a + b for a, b in zip(elsewhere.x, in_se.x, strict=True)] == [7, 2, 1]
    assert list(in_se.x) == [1, 2, 0]
    assert list(in_se.y) == ["Conv (2)", "Mul (1)", "Cast (1)"]


def test_a_profile_is_summed_up_in_two_sentences() -> None:
    sums = sum_times(NODES)
    said = takeaway(sums, times_by_operator(NODES)).replace("*", "")
    assert said == ("Share of time: Conv 70%, 1 SE blocks 30.0%, inserted conversions 10.0%.")
    told = coverage(profile("d"), sums)
    assert "10.00 ms. This is 80.0% of the latency with the profiler (12.50 ms" in told
    assert "95.2% of the latency without it (10.50 ms)" in told


def page(digest: str) -> None:
    from dashboard.components.details.profile import show_profile
    from dashboard.queries import url
    from db.models import Artifact
    from db.session import reading

    with reading(url()) as session:
        artifact = session.get(Artifact, digest)
    show_profile(artifact)


def test_a_profiled_build_shows_where_the_time_goes(url: str) -> None:
    rows.add_measured_model(url)
    builds = select(Artifact.digest).where(Artifact.kind == ArtifactKind.BUILD)
    with reading(url) as session:
        digest = session.scalars(builds).first()
    assert digest is not None
    assert not AppTest.from_function(page, args=(digest,)).run().expander
    records.save_profile(profile(digest))
    records.save_profile(profile(digest, batch=8, noise=["it was busy"], made_at=2e9))
    app = AppTest.from_function(page, args=(digest,)).run()
    assert not app.exception
    assert app.selectbox(key="profile").value.batch == 8, "the newest first"
    assert any("it was busy" in warning.value for warning in app.warning)
    operators, slowest = (table.value for table in app.dataframe)
    assert operators["op"].tolist() == ["Conv", "Mul", "Cast"]
    assert slowest["name"].tolist()[0] == "conv"
    assert show_profile(None) is None
    assert Path(records.profile_folder(digest)).is_dir()
