"""Page Datasets, and the datasets that New run offers."""

from __future__ import annotations

from pathlib import Path

from db.enums import JobStatus
from db.models import Job
from db.session import writing
from engine.jobs import queue
from engine.runs.compile import dataset_job
from engine.specs import DatasetSpec
from tests.support import rows
from tests.support.pages import opened, plain_texts


def test_a_dataset_in_preparation_can_be_chosen(url: str, tmp_path: Path) -> None:
    with writing(url) as session:
        queue.submit(session, dataset_job(DatasetSpec(name="mine", root=str(tmp_path))))
    app = opened("new_run")
    for key in ("dataset_for_Catalog", "calibrate_for_Catalog"):
        assert "mine" in app.selectbox(key=key).options
    assert app.selectbox(key="dataset_for_Catalog").value == "mine"
    assert "mine is being prepared: the run waits for it" in plain_texts(app)
    with writing(url) as session:
        session.query(Job).one().status = JobStatus.SUCCEEDED
    rows.add_dataset(url, "mine")
    app.run()
    assert app.selectbox(key="dataset_for_Catalog").value == "mine"
    assert "is being prepared" not in plain_texts(app)
