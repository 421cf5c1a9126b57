"""Runs for chosen hosts: wishes of jobs, int8 target, and what is said where no host fits."""

from __future__ import annotations

import json
import re

import pytest

from db.models import Host, Job
from db.session import reading, writing
from engine import __version__
from engine.hosts import registry
from engine.hosts.wishes import Wish, why_none
from engine.jobs import queue
from engine.jobs.executor import LocalExecutor
from engine.runs.placement import host_choices, places_of
from engine.runs.plan import plan
from engine.runs.request import DEMO
from engine.runs.submit import submit

pytestmark = pytest.mark.integration


@pytest.fixture
def hosts(url: str) -> dict[str, str]:
    """Identities by label: this machine, `twin` of the same device model, and `arm`."""
    here = registry.announce(url)
    (own,) = registry.all_hosts(url)
    arm = {**own.facts, "machine": "aarch64", "isa": ["asimddp"], "runtimes": {}}
    with writing(url) as session:
        session.add(Host(identity="twin-id", label="twin", facts=own.facts))
        session.add(Host(identity="arm-id", label="arm", facts=arm))
    return {here: own.identity, "twin": "twin-id", "arm": "arm-id"}


def jobs_of(url: str) -> list[Job]:
    with reading(url) as session:
        return list(session.query(Job).order_by(Job.id))


def test_each_chosen_host_gets_its_own_benchmark_and_shares_the_rest(
    url: str, hosts: dict[str, str]
) -> None:
    here = next(iter(hosts))
    submit(DEMO.model_copy(update={"hosts": (here, "twin")}), url)
    jobs = jobs_of(url)
    measured = [job for job in jobs if job.exclusive]
    assert [job.wants for job in measured] == [{"hosts": [hosts[here]]}, {"hosts": ["twin-id"]}]
    assert measured[1].title.endswith("on twin")
    assert len({job.key for job in jobs}) == len(jobs)
    assert {job.wants for job in jobs if not job.exclusive} == {None}
    (build,) = (json.dumps(j.params) for j in jobs if j.params.get("precision") == "int8")
    assert re.search(r'"target": "(?!auto)', build), "fixed for the hosts, wherever it is built"


def test_any_host_of_a_device_model(url: str, hosts: dict[str, str]) -> None:
    (place,) = places_of(DEMO.model_copy(update={"hosts": ("like:twin",)}), url)
    allowed = {h.label for h in registry.all_hosts(url) if place.wish.allows(h)}
    assert allowed == set(hosts) - {"arm"}
    assert [name for name in host_choices(url) if name.startswith("like:")]


def test_hosts_that_cannot_do_it_are_named_before_anything_is_queued(
    url: str, hosts: dict[str, str]
) -> None:
    here = next(iter(hosts))
    said = " ".join(plan(DEMO.model_copy(update={"hosts": (here, "arm")}), url).problems)
    assert "arm has no runtime onnxruntime" in said
    assert "need different int8 targets" in said
    said = " ".join(plan(DEMO.model_copy(update={"hosts": ("nobody",)}), url).problems)
    assert "There is no host 'nobody'" in said


def test_a_job_for_another_host_waits_with_the_reason_and_lets_others_pass(
    url: str, hosts: dict[str, str]
) -> None:
    class Recorded(LocalExecutor):
        def _start(self, job_id: int, *, exclusive: bool):  # type: ignore[no-untyped-def]
            started.append(job_id)

    started: list[int] = []
    with writing(url) as session:
        new = queue.NewJob("sleep", "sleep", {}, priority=9, wish=Wish(("twin-id",)))
        waits = queue.submit(session, new)
        runs = queue.submit(session, queue.NewJob("sleep", "sleep", {}))
    Recorded(url, 2, "none").start_ready()
    assert started == [runs]
    message = next(job.message for job in jobs_of(url) if job.id == waits)
    assert str(message).startswith("Waits for a host: twin (up, but not in this cluster)")


def test_another_version_of_the_workbench_is_the_reason(url: str, hosts: dict[str, str]) -> None:
    known = registry.all_hosts(url)
    said = why_none(Wish(("twin-id",)), known, "9.9")
    assert said.startswith(f"twin runs SENet Workbench {__version__}, this cluster 9.9: install")
