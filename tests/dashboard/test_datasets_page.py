"""Page Datasets, and the datasets that New run offers."""

from __future__ import annotations

from pathlib import Path

from db.session import writing
from engine.jobs import queue
from engine.runs.compile import dataset_job
from engine.specs import DatasetSpec
from tests.support.pages import opened


def test_a_dataset_in_preparation_can_be_chosen(url: str, tmp_path: Path) -> None:
    with writing(url) as session:
        queue.submit(session, dataset_job(DatasetSpec(name="mine", root=str(tmp_path))))
    app = opened("new_run")
    for key in ("dataset_for_Catalog", "calibrate_for_Catalog"):
        assert "mine (in preparation)" in app.selectbox(key=key).options
