"""What all specs are."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from engine.common.digests import data_digest


class Spec(BaseModel):
    """Base: immutable, no unknown keys, finite numbers, identified by the digest of its JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> dict[str, Any]:
        """Plain data, as stored in a job row."""
        return self.model_dump(mode="json")

    def recipe(self) -> str:
        """SHA-256 of the canonical JSON."""
        return data_digest(self.to_json())
