"""Layer errors on the page: a sortable table with findings, and the button that measures them."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from db.enums import ArtifactKind, JobKind, Precision
from db.models import Artifact, Job
from db.session import reading
from engine.jobs import dispatcher
from engine.layer_errors.records import (
    LayerErrors,
    RuntimeErrors,
    TensorErrors,
    store_layer_errors,
)
from tests.support import rows
from tests.support.pages import missing


def page() -> None:
    from dashboard import queries
    from dashboard.components.details.layer_errors import show_layer_errors

    show_layer_errors(next(row for row in queries.builds() if row.precision == "int8"))


@pytest.fixture
def digest(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    rows.add_measured_model(url)
    monkeypatch.setattr(dispatcher, "ensure_dispatcher", lambda: True)
    builds = select(Artifact.digest).where(
        Artifact.kind == ArtifactKind.BUILD, Artifact.precision == Precision.INT8
    )
    with reading(url) as session:
        return session.scalars(builds).one()


def test_the_button_queues_the_job(digest: str, url: str) -> None:
    app = AppTest.from_function(page, default_timeout=30).run()
    app.button(key="measure_layer_errors").click().run()
    with reading(url) as session:
        (job,) = session.scalars(select(Job).where(Job.kind == JobKind.LAYERS))
    assert job.params["artifact"] == digest
    assert "is queued" in app.get("progress")[0].proto.text


def test_three_columns_with_findings(digest: str) -> None:
    ort = RuntimeErrors(single_db=29.9, accumulated_db=18.1, differing=0.0, levels=1.0)
    gate = TensorErrors(
        tensor="g",
        layers=[],
        op="HardSigmoid",
        se_role="SE gate",
        rounding_db=40.0,
        single_db=30.0,
        accumulated_db=18.0,
        runtimes={"onnxruntime": ort},
    )
    before = gate.model_copy(update={"tensor": "x", "layers": ["a.conv"], "saturates": True})
    store_layer_errors(
        LayerErrors(
            artifact=digest,
            model_id="m",
            dataset="val",
            images=8,
            runtimes={"onnxruntime": "1.0"},
            tensors=[before, gate],
            findings=["a.conv: <b>wrong</b>"],
        )
    )
    app = AppTest.from_function(page, default_timeout=30).run()
    assert not app.exception
    table = app.dataframe[0].value
    assert list(table["layer"]) == ["a.conv", "g"]
    assert list(table["SE"]) == ["SE gate", "SE gate"]
    assert table["note"].iloc[0] == "clipped on purpose"
    figures = ["file single", "file accumulated", "onnxruntime single", "onnxruntime accumulated"]
    assert list(table.loc[1, figures]) == [30.0, 18.0, 29.9, 18.1]
    assert "conv" in app.warning[0].value
    assert " <b>" not in app.warning[0].value
    captions = " ".join(caption.value for caption in app.caption)
    assert not missing(captions, "8 images of val", "ONNX Runtime 1.0", "as the file says")
    assert app.button(key="measure_layer_errors").label == "Measure again"
