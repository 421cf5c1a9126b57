"""Pictures of the states that are not the happy path, each in a data folder made for it.

`python -m tests.support.states OUT`. Jobs that seem to run do not: the dispatcher's lock is held,
so that nothing takes them up.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

LOG = "\n".join(f"12:00:{second:02d} Line {second} of the log." for second in range(12))
PICTURES = {
    "jobs": "/jobs",
    "queued-and-running": "/run?id=1",
    "failed": "/run?id=4",
    "partial-and-missing": "/results?columns=Summary",
    "empty-filter": "/results?model=no+such+model",
    "no-model-meets": "/?most_size=0.001",
    "not-comparable": "/?picked=timm%2Fseresnet50+fp32&picked=timm%2Fother+fp32&differences=false",
    "collapsed": "/?images=val+%C2%B7+1%2C000+images",
    "interrupted-dataset": "/datasets",
    "benchmark-runs": "/classify?source=Samples",
    "no-such-run": "/run?id=99",
}


def fill(url: str) -> None:
    """Rows of every state."""
    from db.enums import JobStatus
    from db.models import Environment, Evaluation
    from db.session import writing
    from tests.support import rows

    now = time.time()
    rows.add_measured_model(url, collapsed=("int8",), right={"fp32": 803, "fp16": 802, "int8": 1})
    rows.add_measured_model(url, "other", dataset="other-val")
    rows.add_measured_model(url, "untrained", weights_kind="random", dataset="third-val")
    rows.add_dataset(url, "broken", corrupt=2, corrupt_files=[["a.jpg", "truncated"]] * 2)
    with writing(url) as session:
        first = session.query(Evaluation).order_by(Evaluation.id.desc()).first()
        assert first is not None
        first.images_planned = 50_000
        machine = session.get(Environment, rows.MACHINE)
        assert machine is not None
        machine.facts = {**machine.facts, "packages": {"onnxruntime": "1.30.0"}}
    running = {"started_at": now - 60, "lease_until": now + 600, "log_tail": LOG}
    rows.add_job(
        url, JobStatus.RUNNING, "Evaluate timm/seresnet50 fp32 on val", **running, done=1280,
        total=50_000, unit="images", rate=214.0,
        message="top-1 so far 79.5% (77.2% to 81.6%)",
        partial_result={"images": 1280, "correct": 1018},
    )  # fmt: skip
    rows.add_job(url, JobStatus.RUNNING, "Export timm/senet154", **running)
    rows.add_job(url, JobStatus.QUEUED, "Build timm/senet154 int8", attempt=0)
    rows.add_job(
        url, JobStatus.FAILED, "Build timm/gone fp32", log_tail=LOG, started_at=now - 90,
        ended_at=now - 60, error="The weights of timm/gone are not on this machine, and the "
        "network is switched off: put the file in weights/timm/gone.safetensors.",
    )  # fmt: skip
    rows.add_job(
        url, JobStatus.QUEUED, "Build timm/other int8", attempt=1,
        message="The workbench stopped while this job ran.",
    )  # fmt: skip
    for status in (JobStatus.CANCELLED, JobStatus.SKIPPED):
        rows.add_job(url, status, f"A job that was {status}", ended_at=now - 30, attempt=0)


def main() -> None:
    """Fills the folder, takes the pictures, and says what is wrong at first sight."""
    from tests.support.screenshots import THEMES, WIDTHS, take
    from tests.support.server import CHROMIUM_ARGS, find_chromium, serving

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--themes", nargs="*", default=list(THEMES), choices=list(THEMES))
    parser.add_argument("--widths", nargs="*", default=list(WIDTHS), choices=list(WIDTHS))
    chosen = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="senet-states-"))
    os.environ.update(SENET_HOME=str(home), SENET_HOST_LOCK=str(home / "host.lock"))

    from engine.jobs.dispatcher import lock_path
    from engine.jobs.locks import try_lock
    from engine.store.database import prepare_database

    fill(prepare_database())
    held = [try_lock(lock_path()), try_lock(home / "host.lock")]
    assert None not in held
    chosen.out.mkdir(parents=True, exist_ok=True)
    chosen.window, chosen.pages = False, list(PICTURES)
    with sync_playwright() as playwright, serving(home) as address:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=list(CHROMIUM_ARGS)
        )
        wrong = take(browser, address, chosen.out, chosen, PICTURES)
        browser.close()
    print("\n".join(wrong) or f"Taken: {chosen.out}. Nothing is too wide, nothing failed.")


if __name__ == "__main__":
    main()
