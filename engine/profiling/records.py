"""Profiles on disk: a JSON file per build, runtime, setting and environment; the newest counts."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field

from engine.common.document import Document
from engine.common.files import write_text
from engine.common.untrusted import read_json
from engine.config import settings
from engine.errors import ArtifactMissing
from engine.runtimes.registry import name_in
from engine.specs import DEFAULT_RUNTIME
from engine.store.shared import fetch_all, publish_result


class NodeFacts(Document):
    """One executed node: mean ms per run, shape of its first output, provider that ran it.

    `se_block`: number of its SE block from 1, None outside. `inserted`: the node only converts
    number formats or layouts and is not part of the network.
    """

    name: str = ""
    op: str = ""
    ms: float = 0.0
    output: list[int] = Field(default_factory=list)
    provider: str = ""
    se_block: int | None = None
    inserted: bool = False


class Profile(Document):
    """The profile of a build: node times as means over `runs` runs.

    `latency_ms`: median without the profiler; `wall_ms`: mean with it; `noise`: interference.
    """

    artifact: str
    model_id: str
    precision: str
    provider: str
    batch: int
    threads: int
    environment: str
    machine: str = ""
    runtime: str = ""
    noise: list[str] = Field(default_factory=list)
    made_at: float
    runs: int
    latency_ms: float
    wall_ms: float
    nodes: list[NodeFacts]


def profile_folder(artifact_digest: str) -> Path:
    """The folder of the profiles of a build."""
    return settings().home / "results" / "profiles" / artifact_digest


def save_profile(profile: Profile) -> Path:
    """Writes a profile atomically; returns its path."""
    provider = profile.provider.removesuffix("ExecutionProvider").lower()
    runtime = name_in(profile.runtime)
    where = provider if runtime in ("", DEFAULT_RUNTIME) else f"{runtime}-{provider}"
    setting = f"b{profile.batch}-t{profile.threads}-{where}"
    path = profile_folder(profile.artifact) / f"{setting}-{profile.environment[:12]}.json"
    write_text(path, json.dumps(profile.dump()))
    publish_result(path)
    return path


def load_profiles(artifact_digest: str) -> list[Profile]:
    """All profiles of a build, newest first. Raises ArtifactMissing where one is damaged."""
    fetch_all(profile_folder(artifact_digest))
    profiles = [
        Profile.read(read_json(path, ArtifactMissing), f"Profile {path.name}", ArtifactMissing)
        for path in profile_folder(artifact_digest).glob("*.json")
    ]
    return sorted(profiles, key=lambda profile: -profile.made_at)
