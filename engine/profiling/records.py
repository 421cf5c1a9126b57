"""Profiles on disk: one JSON file for each build, setting and machine; a newer one replaces it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field

from engine.common.document import Document
from engine.common.files import write_text
from engine.common.untrusted import read_json
from engine.config import settings
from engine.errors import ArtifactMissing


class NodeFacts(Document):
    """One node that ran: mean ms a run, the shape of its output, who ran it.

    `se_block` counts from 1, None outside of them. A node is `inserted` when it only converts
    numbers or their layout: it is no part of the network.
    """

    name: str = ""
    op: str = ""
    ms: float = 0.0
    output: list[int] = Field(default_factory=list)
    provider: str = ""
    se_block: int | None = None
    inserted: bool = False


class Profile(Document):
    """Where the time of a build went: means over `runs`, ms with and without the profiler."""

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


def folder_of(artifact_digest: str) -> Path:
    """Where the profiles of a build lie."""
    return settings().home / "results" / "profiles" / artifact_digest


def keep(profile: Profile) -> Path:
    """Writes a profile whole or not at all; returns where."""
    provider = profile.provider.removesuffix("ExecutionProvider").lower()
    setting = f"b{profile.batch}-t{profile.threads}-{provider}"
    path = folder_of(profile.artifact) / f"{setting}-{profile.environment[:12]}.json"
    write_text(path, json.dumps(profile.dump()))
    return path


def profiles_of(artifact_digest: str) -> list[Profile]:
    """All profiles of a build, the newest first; ArtifactMissing where one is damaged."""
    found = [
        Profile.read(read_json(path, ArtifactMissing), f"Profile {path.name}", ArtifactMissing)
        for path in folder_of(artifact_digest).glob("*.json")
    ]
    return sorted(found, key=lambda profile: -profile.made_at)
