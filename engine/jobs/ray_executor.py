"""Runs jobs on the hosts of a Ray cluster: Ray decides where, our lease decides what is lost.

A host is a Ray node with the label `senet-host` and the resources `senet` (its slots) and `bench`
(one benchmark at a time), as `senet hosts join` starts it. The task is `run_on_host(job_id)`, which
claims the job as its first act there: a task that waits in Ray's queue owns nothing. Ray never runs
a task again; a job whose lease ran out is handed out again by the dispatcher.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from engine import __version__
from engine.config import settings
from engine.hosts import registry, wishes
from engine.hosts.cluster import BENCH, HOST_LABEL, SLOTS, ray_environment, require_ray
from engine.hosts.registry import HostRecord
from engine.jobs import queue
from engine.jobs.executor import PASS_S, log_line
from engine.jobs.queue import Ready
from engine.jobs.ray_task import run_on_host

HEAD = "node:__internal_head__"
LOOK_EVERY_S = 1.0
PROBE_S = 2.0
LOST_AFTER_S = 5.0
"""A head that has not answered for so long is lost: the dispatcher connects anew."""
HEARD_SLACK_S = 2.0
FORGET_S = 600.0
"""A task whose job is still queued after so long is submitted again, which does no harm."""


@dataclass(slots=True)
class _Task:
    """A submitted job; `hosts` are the identities of those that may run it.

    `claimed`: its host has claimed the job.
    """

    job_id: int
    exclusive: bool
    hosts: frozenset[str]
    at: float = field(default_factory=time.monotonic)
    claimed: bool = False

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.at


class RayExecutor:
    """Submits ready jobs to Ray, few more than the hosts have slots: Ray has no priorities."""

    def __init__(self, url: str, worker: str) -> None:
        self.url, self.worker = url, worker
        self.tasks: dict[Any, _Task] = {}
        self.slots: dict[str, int] = {}
        """Slots of each host that is in the cluster now, by identity."""
        self.suspects: dict[str, float] = {}
        """When a job was lost on a host, by identity."""
        self.connected = False
        self.looked_at = 0.0
        self.answered_at = time.monotonic()
        require_ray()

    def recover(self, home: str) -> None:
        """Nothing: jobs of an earlier dispatcher may run still; their leases tell."""

    def start_ready(self) -> None:
        """Submits ready jobs for the hosts that fit; says why where none is in the cluster."""
        self._look()
        self._collect()
        hosts = registry.all_hosts(self.url)
        usable = [
            host
            for host in hosts
            if host.identity in self.slots and host.is_up and host.version == __version__
            if not self._is_suspect(host)
        ]
        ready = queue.ready(self.url)
        waiting = self._waiting({job.id for job in ready})
        submitted = {task.job_id for task in waiting}
        for job in ready:
            if job.id in submitted:
                continue
            fitting = frozenset(host.identity for host in usable if job.wish.allows(host))
            queue.say_why_waiting(self.url, job, None if fitting else self._why(job, hosts))
            fitting -= frozenset() if job.exclusive else _held_back(waiting)
            if fitting and self._has_room(job, fitting, waiting):
                waiting.append(self._submit(job, fitting))

    def _waiting(self, queued: set[int]) -> list[_Task]:
        """The tasks that wait in Ray's queue.

        A job that was claimed and is queued again was lost with its host: its task is forgotten,
        long before Ray has noticed. So is one that waits for very long: to submit a job twice does
        no harm.
        """
        waiting = []
        for reference, task in list(self.tasks.items()):
            if task.job_id not in queued:
                task.claimed = True
            elif task.claimed or task.age_s >= FORGET_S:
                del self.tasks[reference]
                if task.claimed and (row := queue.get(self.url, task.job_id)) and row.home:
                    self.suspects[row.home] = time.monotonic()
            else:
                waiting.append(task)
        return waiting

    def _is_suspect(self, host: HostRecord) -> bool:
        """Whether a job was lost on a host that has not been heard of since."""
        lost_at = self.suspects.get(host.identity)
        return lost_at is not None and time.monotonic() - lost_at < host.silent_s + HEARD_SLACK_S

    def _why(self, job: Ready, hosts: list[HostRecord]) -> str:
        if not self.connected:
            return f"the Ray head at {settings().ray_address} does not answer."
        if not hosts:
            return "no host has joined the cluster; `senet hosts join` does it."
        return wishes.why_none(job.wish, hosts, __version__)

    def _has_room(self, job: Ready, fitting: Collection[str], waiting: list[_Task]) -> bool:
        """Whether few enough jobs of its kind wait in Ray's queue for the same hosts."""
        alike = [t for t in waiting if t.exclusive == job.exclusive and t.hosts & set(fitting)]
        room = len(fitting) if job.exclusive else sum(self.slots[name] for name in fitting)
        return len(alike) < room

    def _submit(self, job: Ready, fitting: frozenset[str]) -> _Task:
        import ray

        task = _Task(job.id, job.exclusive, fitting)
        remote = ray.remote(run_on_host).options(
            name=f"job {job.id}",
            num_cpus=0,
            max_retries=0,
            resources={BENCH if job.exclusive else SLOTS: 1},
            label_selector={HOST_LABEL: f"in({','.join(sorted(fitting))})"},
        )
        self.tasks[remote.remote(job.id, self.worker)] = task
        return task

    def has_running(self) -> bool:
        """Whether a task has not ended."""
        return bool(self.tasks)

    def wait(self, seconds: float) -> None:
        """Waits until a task ends, `seconds` at most."""
        if not self.tasks or not self.connected:
            time.sleep(seconds)
            return
        import ray

        ray.wait(list(self.tasks), num_returns=1, timeout=seconds)

    def _collect(self) -> None:
        """Takes the tasks that have ended; what became of their jobs is in the rows."""
        if not self.tasks or not self.connected:
            return
        import ray

        ended, _ = ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=0)
        for reference in ended:
            task = self.tasks.pop(reference)
            try:
                ray.get(reference)
            except Exception as error:  # of the task, of its process or of its host
                text = str(error).strip().splitlines()[-1:] or [""]
                log_line(f"Job {task.job_id}: {type(error).__name__}: {text[0]}")

    def _look(self) -> None:
        """Connects to the head, and reads which hosts are in the cluster."""
        now = time.monotonic()
        if now - self.looked_at < LOOK_EVERY_S:
            return
        self.looked_at = now
        if not _answers(settings().ray_address):
            self.slots = {}
            if self.connected and now - self.answered_at > LOST_AFTER_S:
                _start_anew("The Ray head does not answer")
            return
        self.answered_at = now
        if not self.connected:
            self._connect()
        if self.connected:
            self._read_nodes()

    def _connect(self) -> None:
        os.environ.update(ray_environment())
        import ray

        try:
            address = settings().ray_address
            ray.init(address=address, log_to_driver=False, configure_logging=False)
            # Of several nodes of one machine Ray takes any: the head lasts as long as the cluster.
            here = ray.get_runtime_context().get_node_id()
            heads = [n for n in ray.nodes() if n["Alive"] and HEAD in n["Resources"]]
            if heads and heads[0]["NodeID"] != here and _is_here(heads[0]["NodeManagerAddress"]):
                ray.shutdown()
                ray.init(
                    address=address,
                    log_to_driver=False,
                    configure_logging=False,
                    _node_ip_address=heads[0]["NodeManagerAddress"],
                )
            self.connected = True
        except Exception as error:  # Ray's own kinds are many
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            log_line(f"Ray at {settings().ray_address}: {reason}")

    def _read_nodes(self) -> None:
        import ray

        alive = [node for node in ray.nodes() if node["Alive"]]
        self.slots = {
            name: int(node["Resources"].get(SLOTS, 0))
            for node in alive
            if (name := node["Labels"].get(HOST_LABEL))
        }
        if ray.get_runtime_context().get_node_id() not in {node["NodeID"] for node in alive}:
            _start_anew("The Ray node of this dispatcher has ended")


def _start_anew(reason: str) -> None:
    """Replaces this process: Ray cannot connect it to another node, and would end it in the end.

    All that counts is in the database; what runs still is kept by its lease.
    """
    log_line(f"{reason}: the dispatcher starts anew.")
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _held_back(waiting: Collection[_Task]) -> frozenset[str]:
    """The hosts for which a benchmark has waited for so long that no other job passes it."""
    late = [task.hosts for task in waiting if task.exclusive and task.age_s >= PASS_S]
    return frozenset().union(*late)


def _is_here(address: str) -> bool:
    """Whether an IP address is one of this machine."""
    with suppress(OSError), socket.create_server((address, 0)):
        return True
    return False


def _answers(address: str) -> bool:
    """Whether something listens at `host:port`."""
    host, _, port = address.rpartition(":")
    with suppress(OSError, ValueError), socket.create_connection((host, int(port)), PROBE_S):
        return True
    return False
