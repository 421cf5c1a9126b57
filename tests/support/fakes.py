"""A runtime and a precision that only tests have: what a new one of each touches, and no more."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

from db.enums import JobStatus, Precision
from db.models import Job
from engine.benchmark import session_measurement
from engine.benchmark.loaded_model import LoadedModel, ProcessConfig
from engine.benchmark.windows import Window
from engine.cli import commands
from engine.cli.watch import load_jobs
from engine.config import settings
from engine.jobs import queue
from engine.jobs.context import JobContext
from engine.runs.request import RunRequest
from engine.runtimes.base import Device, LoadOptions
from engine.runtimes.onnxruntime import OnnxSession
from engine.runtimes.registry import RUNTIMES, Entry
from engine.specs import CPU_PROVIDER, BenchmarkSpec, BuildSpec, EvaluateSpec, ProfileSpec
from engine.specs.precisions import PRECISIONS, Facts, facts_of, file_precision
from engine.worker import handler_of

RUNTIME, LABEL, PRECISION = "fakert", "Fake RT", "fake8"


FACTS = Facts(
    light="#b8860b",
    dark="#b8860b",
    symbol="cross",
    stroke="longdash",
    weight_bytes=4,
    runtimes=frozenset({RUNTIME}),
    file_of=Precision.FP32,
)


class FakeRuntime:
    """ONNX Runtime under another name; remembers what it was asked to load."""

    name = RUNTIME
    file = "model.onnx"
    ran: str | None = None  # arithmetic that it reports instead of what was requested
    loaded: list[tuple[str, str, LoadOptions]] = []  # noqa: RUF012 (of all, as jobs share it)

    def version(self) -> str:
        return "0.1"

    def devices(self) -> tuple[Device, ...]:
        return (Device(CPU_PROVIDER, "CPU"),)

    def supports(self, precision: str, device: str) -> str | None:
        return None

    def lacks(self, path: Path) -> str | None:
        return None

    def load(self, path: Path, precision: str, device: str, options: LoadOptions) -> OnnxSession:
        self.loaded.append((precision, device, options))
        session = OnnxSession(path, device, options.threads, requests=options.requests)
        rest = facts_of(precision).rest
        own = precision if rest is None else file_precision(precision)
        session.placement = {f"{device} {kind}": 7 for kind in (self.ran or own, rest) if kind}
        return session


@contextmanager
def fake_seam() -> Iterator[None]:
    """Registers both: an entry of the registry, a name of the enum, a row of the table.

    They exist in this process only, so benchmarks measure in it.
    """
    FakeRuntime.loaded.clear()
    member = str.__new__(Precision, PRECISION)
    member._name_, member._value_ = PRECISION.upper(), PRECISION
    names = [*Precision._member_names_, member._name_]
    fp32 = PRECISIONS[Precision.FP32]
    both = replace(fp32, runtimes=fp32.runtimes | {RUNTIME})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_measurement, "ProcessGroup", InProcessGroup)
        patch.setitem(RUNTIMES, RUNTIME, Entry(LABEL, "tests.support.fakes:FakeRuntime"))
        patch.setitem(Precision._member_map_, member._name_, member)
        patch.setitem(Precision._value2member_map_, PRECISION, member)
        patch.setattr(Precision, "_member_names_", names)
        patch.setitem(PRECISIONS, Precision.FP32, both)
        patch.setitem(PRECISIONS, PRECISION, FACTS)
        _read_again()
        yield
    _read_again()


def _read_again() -> None:
    """What was made of the enum when it was imported: validators, and choices of options."""
    for model in (BuildSpec, BenchmarkSpec, EvaluateSpec, ProfileSpec, RunRequest):
        model.model_rebuild(force=True)
    commands.load_command.cache_clear()


def run_inline(job_ids: list[int], url: str) -> list[Job]:
    """Runs jobs here, in the order in which they can be run; stands in for `watch`."""
    for job_id in job_ids:
        attempt = queue.claim(url, job_id, host="test", pid=1, lease_s=600)
        assert attempt is not None, f"job {job_id} cannot be run"
        job = queue.get(url, job_id)
        assert job is not None
        workspace = settings().folder("tmp") / f"inline{job_id}"
        workspace.mkdir(parents=True)
        context = JobContext(url, job_id, attempt, workspace)
        with redirect_stdout(io.StringIO()):  # a job's log
            result = handler_of(job.kind)(job.params, context)
        queue.end(url, job_id, attempt, JobStatus.SUCCEEDED, result=result)
    return load_jobs(job_ids, url)


class InProcessGroup(LoadedModel):
    """A build of a session that is loaded in this process instead of one of its own."""

    def __init__(self, configs: list[ProcessConfig]) -> None:
        super().__init__(configs[0])

    def measure_window(self, seconds: float, warm_up_s: float = 0.0) -> Window:  # type: ignore[override]
        return super().measure_window(seconds)

    def restart(self) -> None:
        """Stays as it is."""

    def cpu_time_s(self) -> float:
        """Nothing of its own: the time of this process counts once."""
        return 0.0
