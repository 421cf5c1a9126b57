"""Profiles on disk: one JSON file for each build, setting and machine; a newer one replaces it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.common.files import write_text
from engine.config import settings

Profile = dict[str, Any]


def folder_of(artifact_digest: str) -> Path:
    """Where the profiles of a build lie."""
    return settings().home / "results" / "profiles" / artifact_digest


def keep(profile: Profile) -> Path:
    """Writes a profile whole or not at all; returns where."""
    provider = profile["provider"].removesuffix("ExecutionProvider").lower()
    setting = f"b{profile['batch']}-t{profile['threads']}-{provider}"
    path = folder_of(profile["artifact"]) / f"{setting}-{profile['environment'][:12]}.json"
    write_text(path, json.dumps(profile))
    return path


def profiles_of(artifact_digest: str) -> list[Profile]:
    """All profiles of a build, the newest first."""
    found = [json.loads(path.read_text()) for path in folder_of(artifact_digest).glob("*.json")]
    return sorted(found, key=lambda profile: -profile["made_at"])
