"""What a job's code reports: a rate belongs to one count."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.jobs import queue
from tests.support.tiny import Quiet


def test_a_count_that_begins_anew_has_a_rate_of_its_own(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the time left would be negative while an old count is still in the window."""
    moments = iter([0.0, 1.0, 2.0, 3.0])
    monkeypatch.setattr("engine.jobs.context.time.monotonic", lambda: next(moments))
    context = Quiet(url, tmp_path)
    rates = []
    for done in (100, 200, 4, 8):
        context.progress(done, 1000, "images")
        job = queue.get(url, context.job_id)
        assert job is not None
        rates.append(job.rate)
    assert rates == [None, 100.0, None, 4.0]
