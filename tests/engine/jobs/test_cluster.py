"""A Ray cluster with real processes: placement, and what a loss of a part of it costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import func, select

from db.enums import JobStatus
from db.models import Run
from db.session import connect, reading
from engine.config import REPOSITORY
from engine.hosts.registry import HostRecord, all_hosts
from engine.hosts.wishes import Wish
from engine.jobs import control
from engine.jobs.leadership import has_leader
from tests.support.cluster import Cluster, running_cluster
from tests.support.job_harness import queue, row, until
from tests.support.postgresql import find_programs
from tests.support.proxy import Proxy

pytestmark = [pytest.mark.cluster, pytest.mark.serial]
LEASE_S = "6"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with the hosts `a` and `b`, and a dispatcher of jobs that misbehave."""
    if find_spec("ray") is None or find_programs() is None:
        assert "CI" not in os.environ, "CI installs Ray and PostgreSQL"
        pytest.skip("Ray or PostgreSQL is not installed")
    with running_cluster("a", "b", SENET_LEASE_S=LEASE_S) as running:
        until(lambda: len(hosts(running)) == 3, "the registration of all hosts")
        with dispatcher(running):
            yield running
        connect(running.url).dispose()


@contextmanager
def dispatcher(cluster: Cluster) -> Iterator[None]:
    """The dispatcher of the head's home, restarted if it ends, as `senet hosts head` does it."""
    variables = {"SENET_IDLE_S": "600", "SENET_LEASE_S": LEASE_S}
    log = (cluster.folder / "dispatcher.log").open("ab")
    once = f"{sys.executable} -m tests.support.dispatcher_for_tests"
    process = subprocess.Popen(
        ["sh", "-c", f"while true; do {once}; sleep 1; done"],
        cwd=REPOSITORY,
        env={**cluster.environment(cluster.folder / "head"), **variables},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    log.close()
    try:
        until(lambda: has_leader(cluster.url), "the dispatcher")
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def hosts(cluster: Cluster) -> dict[str, HostRecord]:
    return {host.label: host for host in all_hosts(cluster.url)}


def only(cluster: Cluster, *labels: str) -> Wish:
    return Wish(tuple(hosts(cluster)[label].identity for label in labels))


def ended(cluster: Cluster, job: int, status: JobStatus = JobStatus.SUCCEEDED) -> bool:
    found = row(cluster.url, job)
    assert found.status in (JobStatus.QUEUED, JobStatus.RUNNING, status), found.error
    return found.status == status


def is_running(cluster: Cluster, job: int) -> bool:
    found = row(cluster.url, job)
    return found.status == JobStatus.RUNNING and found.log_tail is not None


def spans(file: Path) -> list[tuple[str, float, float]]:
    lines = [line.split() for line in file.read_text().splitlines()]
    return [(name, float(begun), float(end)) for name, begun, end in lines]


def test_benchmarks_run_on_both_hosts_at_once_but_never_two_on_one(
    cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "stamps"
    meets = {"a1": "b1", "b1": "a1", "a2": "b1", "b2": "a1"}  # the hosts start at other speeds
    for name, other in meets.items():
        params = {"file": str(file), "name": name, "meets": other}
        queue(cluster.url, "stamp", params=params, exclusive=True, wish=only(cluster, name[0]))
    until(lambda: file.exists() and len(spans(file)) == 4, "all four")
    first, second = ([s[1:] for s in spans(file) if s[0][0] == host] for host in "ab")
    for own in (first, second):
        assert own[0][1] <= own[1][0], "one after the other"
    assert any(a[0] < b[1] and b[0] < a[1] for a in first for b in second)


def test_a_job_for_a_host_that_is_away_waits_with_the_reason_and_blocks_nothing(
    cluster: Cluster,
) -> None:
    url = cluster.url
    away = queue(url, "chatter", params={"n": 1}, priority=5, wish=only(cluster, "head"))
    nowhere = queue(url, "chatter", params={"n": 2}, priority=5, wish=Wish(("nobody",)))
    here = queue(url, "chatter", params={"n": 3}, wish=only(cluster, "b"))
    until(lambda: ended(cluster, here), "the job behind them")
    done = row(url, here)
    assert (done.host, done.home) == ("b", hosts(cluster)["b"].identity)
    until(lambda: "The first line." in str(row(url, here).log_tail), "the log")
    until(lambda: row(url, nowhere).message, "the reason")
    assert "Waits for a host: head (up, but not in this cluster)" in str(row(url, away).message)
    assert "no known host fits its choice" in str(row(url, nowhere).message)
    for job in (away, nowhere):
        control.cancel(url, job)


def test_a_job_is_canceled_on_its_host_and_no_host_reads_the_home_of_another(
    cluster: Cluster,
) -> None:
    job = queue(cluster.url, "sleep", params={"seconds": 60}, wish=only(cluster, "a"))
    until(lambda: row(cluster.url, job).done, "the first progress")
    control.cancel(cluster.url, job)
    until(lambda: ended(cluster, job, JobStatus.CANCELLED), "the end")
    a, b = cluster.members["a"], cluster.members["b"]
    if a.seen_as != a.folder:
        assert a.process is not None
        view = Path(f"/proc/{a.process.pid}/root")
        assert (view / str(a.home).lstrip("/")).exists() is False
        assert (view / str(a.seen_as / "home" / "home.json").lstrip("/")).exists()
        for other in (b.home, b.seen_as / "home", cluster.folder / "head" / "home"):
            assert not (view / str(other).lstrip("/")).exists()


@pytest.mark.slow
@pytest.mark.parametrize("exclusive", [False, True])
def test_a_host_killed_in_the_middle_of_a_job_delays_it(cluster: Cluster, exclusive: bool) -> None:
    params = {"seconds": 3, "exclusive": exclusive}
    job = queue(cluster.url, "sleep", params=params, exclusive=exclusive)
    until(lambda: is_running(cluster, job), "the first attempt")
    lost = str(row(cluster.url, job).host)
    cluster.members[lost].kill()
    killed = time.monotonic()
    until(lambda: ended(cluster, job), "the second attempt")
    print(f"from kill to result: {time.monotonic() - killed:.1f} s")
    found = row(cluster.url, job)
    assert found.attempt == 2
    assert {lost, found.host} == {"a", "b"}
    cluster.members[lost].start()


@pytest.mark.slow
def test_a_head_that_is_killed_and_restarted_loses_no_job(cluster: Cluster) -> None:
    jobs = [queue(cluster.url, "sleep", params={"seconds": 5, "n": n}) for n in range(3)]
    until(lambda: any(is_running(cluster, job) for job in jobs), "the first attempt")
    cluster.members["head"].kill()
    killed = time.monotonic()
    time.sleep(8)
    cluster.members["head"].start()
    until(lambda: all(ended(cluster, job) for job in jobs), "all three", 150)
    print(f"from kill to the last result: {time.monotonic() - killed:.1f} s")


@pytest.mark.slow
def test_a_database_that_restarts_under_load_loses_nothing_and_does_nothing_twice(
    cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "stamps"
    jobs = [
        queue(cluster.url, "stamp", params={"file": str(file), "name": str(n), "seconds": 1})
        for n in range(10)
    ]
    until(lambda: any(is_running(cluster, job) for job in jobs), "the first job")
    cluster.server.stop("immediate")
    cluster.server.start()
    until(lambda: all(ended(cluster, job) for job in jobs), "all ten", 120)
    assert sorted(name for name, *_ in spans(file)) == sorted(map(str, range(10)))
    assert {row(cluster.url, job).attempt for job in jobs} == {1}


@pytest.mark.slow
def test_a_host_cut_off_for_longer_than_the_lease_writes_nothing(cluster: Cluster) -> None:
    url, proxy = cluster.url, Proxy(int(cluster.server.port or 0))
    through = url.replace(f":{cluster.server.port}/", f":{proxy.port}/")
    cluster.join("c", DATABASE_URL=through, SENET_LEASE_S=LEASE_S)
    until(lambda: "c" in hosts(cluster), "the registration")
    before = runs(url)
    job = queue(url, "record", params={"after_s": 8}, wish=only(cluster, "c", "a"))
    other = queue(url, "sleep", params={"seconds": 1}, wish=only(cluster, "c"))
    until(lambda: ended(cluster, other), "a job on the new host")
    if row(url, job).host != "c":
        job = queue(url, "record", params={"after_s": 9}, wish=only(cluster, "c"))
        before += 1
    until(lambda: is_running(cluster, job) and row(url, job).host == "c", "the attempt there")
    proxy.cut()
    until(lambda: row(url, job).attempt == 1 and row(url, job).status == "queued", "the loss")
    time.sleep(8)
    proxy.mend()
    until(lambda: ended(cluster, job), "the second attempt")
    time.sleep(2)
    assert runs(url) == before + 1
    proxy.close()


def runs(url: str) -> int:
    with reading(url) as session:
        return session.scalar(select(func.count()).select_from(Run)) or 0
