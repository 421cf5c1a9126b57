"""The base class of all specs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from engine.common.digests import data_digest

DEFAULT_RUNTIME = "onnxruntime"


class Spec(BaseModel):
    """Immutable; rejects unknown keys and non-finite numbers; identified by its fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> dict[str, Any]:
        """JSON-compatible data, as stored in a job row."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON."""
        return data_digest(self.to_json())
