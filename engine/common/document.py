"""Typed models of the JSON documents that are stored in rows and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import WorkbenchError


class Document(BaseModel):
    """A stored JSON object: unknown keys are preserved, missing keys have defaults.

    A field with another name than its stored key has that key as its alias. `dump` writes only the
    fields that were set, so that it is the inverse of `read`.
    """

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        populate_by_name=True,
        defer_build=True,
        protected_namespaces=(),
    )

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None, what: str, error: type[WorkbenchError]) -> Self:
        """The document of stored data (None: an empty document).

        Raises `error` with one sentence that names `what` and the first invalid key.
        """
        try:
            return cls.model_validate({} if stored is None else stored)
        except ValidationError as problem:
            first = problem.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "it"
            raise error(f"{what} is damaged: {key}: {first['msg']}.") from problem

    def dump(self) -> dict[str, Any]:
        """The JSON object to store: the fields that were set, by their stored keys."""
        return self.model_dump(by_alias=True, exclude_unset=True)
