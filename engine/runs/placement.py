"""On which hosts a run measures: the hosts of a request, and the wishes of its jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from db.enums import Precision
from engine.build.int8.targets import resolve
from engine.errors import InvalidRequest
from engine.hosts.registry import HostRecord, all_hosts, find_host
from engine.hosts.wishes import ANY_HOST, Wish
from engine.jobs.queue import NewJob
from engine.runs.request import RunRequest, Task
from engine.specs import TargetName
from engine.text import plural

LIKE = "like:"
"""Before a label: any host of the device model of that one."""


@dataclass(frozen=True, slots=True)
class Place:
    """One choice of a request: the host that it names, and what it means for a job."""

    name: str
    host: HostRecord
    wish: Wish


def places_of(request: RunRequest, url: str) -> list[Place]:
    """The places where a run measures; none: anywhere. Raises InvalidRequest."""
    places = []
    for name in request.hosts:
        host = find_host(url, name.removeprefix(LIKE))
        like = name.startswith(LIKE)
        wish = Wish(device=host.device) if like else Wish((host.identity,))
        places.append(Place(f"a host like {host.label}" if like else host.label, host, wish))
    return places


def placed(jobs: list[NewJob], places: list[Place]) -> list[NewJob]:
    """The jobs, those that measure alone once for each place; `needs` are positions in the result.

    Everything else runs on any host: no job needs a measurement.
    """
    found: list[NewJob] = []
    positions: list[int] = []
    for job in jobs:
        positions.append(len(found))
        here = replace(job, needs=tuple(positions[need] for need in job.needs), wish=ANY_HOST)
        if not job.exclusive or not places:
            found.append(here)
            continue
        for place in places:
            title = f"{job.title} on {place.name}"[:200]
            found.append(replace(here, wish=place.wish, title=title))
    return found


def with_target(request: RunRequest, places: list[Place]) -> RunRequest:
    """The request with the int8 target of the hosts that it is for, which may not build it."""
    if not places or request.target != TargetName.AUTO:
        return request
    targets = {_target(request, place) for place in places}
    return request.model_copy(update={"target": targets.pop()}) if len(targets) == 1 else request


def _target(request: RunRequest, place: Place) -> TargetName:
    facts = place.host.facts
    return resolve(request.target, facts["isa"], request.provider, facts["machine"]).name


def place_problems(request: RunRequest, url: str) -> Iterator[str]:
    """Sentences on hosts that are unknown, or cannot do what is asked of them."""
    try:
        places = places_of(request, url)
    except InvalidRequest as error:
        yield str(error)
        return
    for place in places:
        installed = place.host.facts.get("runtimes", {})
        for runtime in request.runtimes:
            if runtime not in installed:
                yield f"{place.host.label} has no runtime {runtime}: leave one of them out."
    targets = {str(_target(request, place)) for place in places}
    if Precision.INT8 in request.built_files and len(targets) > 1:
        yield (
            f"The chosen hosts need different int8 targets ({', '.join(sorted(targets))}): choose "
            f"one int8 target, or make a run for each."
        )


def place_steps(request: RunRequest, url: str) -> Iterator[str]:
    """What the summary says on the hosts."""
    if request.hosts and {Task.BENCHMARK, Task.PROFILE} & set(request.tasks):
        names = [place.name for place in places_of(request, url)]
        yield f"Measure on {plural(len(names), 'host')}: {', '.join(names)}."


def host_choices(url: str) -> list[str]:
    """The choices of the form: each host, and any like it where there are several of its kind."""
    hosts = all_hosts(url)
    kinds: dict[str, list[str]] = {}
    for host in hosts:
        kinds.setdefault(host.device, []).append(host.label)
    likes = [f"{LIKE}{labels[0]}" for labels in kinds.values() if len(labels) > 1]
    return [host.label for host in hosts] + likes
