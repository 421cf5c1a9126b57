"""JSON that is stored in rows and files, as models: attributes here, the same keys there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import WorkbenchError


class Document(BaseModel):
    """A stored JSON object: unknown keys are kept, absent ones have defaults.

    A field whose stored key is another word has that key as its alias. `read` and `dump` are
    inverse: only what was set is written.
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
        """The document of stored data (None: an empty one).

        Raises `error` with one sentence that names `what` and the first key that does not fit.
        """
        try:
            return cls.model_validate({} if stored is None else stored)
        except ValidationError as problem:
            first = problem.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "it"
            raise error(f"{what} is damaged: {key}: {first['msg']}.") from problem

    def dump(self) -> dict[str, Any]:
        """As it is stored: what was set, by the stored keys."""
        return self.model_dump(by_alias=True, exclude_unset=True)
