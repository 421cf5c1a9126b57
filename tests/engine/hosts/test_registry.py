"""Hosts by their identity: labels, state, equal hostnames, other versions of a library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from db.models import Host
from db.session import writing
from engine.cli.main import main
from engine.config import settings
from engine.errors import InvalidRequest
from engine.hosts import home as homes
from engine.hosts import registry
from tests.support.job_harness import queue, run

pytestmark = pytest.mark.integration


def add_host(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Registers this machine once more, from another home; returns its label."""
    monkeypatch.setenv("SENET_HOME", str(home))
    monkeypatch.setenv("DATABASE_URL", url)
    settings.cache_clear()
    home.mkdir()
    homes.save(homes.new_identity())
    return registry.announce(url)


def test_two_hosts_of_one_hostname_are_two_hosts(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "box")
    assert registry.announce(url) == "box"
    assert add_host(url, tmp_path / "other", monkeypatch) == "box-2"
    first, second = registry.all_hosts(url)
    assert (first.is_here, second.is_here) == (False, True)
    assert first.device == second.device, "two boxes of one device model"
    assert first.state == second.state == "up"
    assert second.difference_to(first) is None


def test_a_job_says_which_host_ran_it(url: str) -> None:
    job = run(url, queue(url, "sleep", params={"seconds": 0}))
    (host,) = registry.all_hosts(url)
    assert (job.home, job.host) == (host.identity, host.label)
    assert {"cpu", "memory_gb", "gpu", "runtimes", "workbench"} <= set(host.facts)
    assert host.facts["runtimes"]["onnxruntime"]["precisions"]


def test_a_host_that_falls_silent_can_be_forgotten(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = registry.announce(url)
    here = add_host(url, tmp_path / "other", monkeypatch)
    with pytest.raises(InvalidRequest, match="is up: stop it first"):
        registry.forget(url, registry.find_host(url, gone))
    with writing(url) as session:
        session.execute(update(Host).values(heard_at=Host.heard_at - 600))
    assert {h.label: h.state for h in registry.all_hosts(url)} == {
        gone: "last heard of 10 min ago",
        here: "this machine",
    }
    registry.forget(url, registry.find_host(url, gone))
    assert [h.label for h in registry.all_hosts(url)] == [here]


def test_a_host_with_another_version_of_a_library_is_named(url: str) -> None:
    registry.announce(url)
    (here,) = registry.all_hosts(url)
    other = registry.HostRecord("x", "edge", json.loads(json.dumps(here.facts)), 0.0, False)
    other.facts["packages"]["numpy"] = "1.0"
    said = other.difference_to(here)
    assert said is not None
    assert said.startswith(
        f"edge has numpy 1.0 ({here.facts['packages']['numpy']} on {here.label})"
    )


def test_labels_in_the_terminal(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    label = registry.announce(url)
    assert main(["hosts", "label", label, "edge-a"]) == 0
    capsys.readouterr()
    assert main(["hosts", "list", "--json"]) == 0
    (host,) = json.loads(capsys.readouterr().out)
    assert (host["label"], host["state"]) == ("edge-a", "up")
    assert main(["hosts", "label", "nobody", "x"]) == 1
    assert "There is no host 'nobody'; known hosts: edge-a." in capsys.readouterr().err
    assert main(["hosts", "label", "edge-a", ""]) == 1
    assert "1 to 60 characters" in capsys.readouterr().err
