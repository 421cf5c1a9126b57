"""The real dispatcher, handing jobs to the worker that misbehaves on purpose."""

from __future__ import annotations

from engine.jobs.dispatcher import dispatch

if __name__ == "__main__":
    dispatch(worker="tests.support.worker_for_tests")
