"""The machines that run jobs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, CreatedAt
from db.clock import utc_epoch


class Host(Base):
    """A machine that runs jobs, by the identity in its home; `label` is for people.

    `facts`: processor, memory, GPU, runtimes with versions, version of the workbench. `heard_at` is
    when it was last heard of.
    """

    __tablename__ = "host"

    identity: Mapped[str] = mapped_column(String(36), primary_key=True)
    label: Mapped[str] = mapped_column(String(60), unique=True)
    facts: Mapped[dict[str, Any]]
    heard_at: Mapped[float] = mapped_column(Float, server_default=utc_epoch())
    created_at: Mapped[CreatedAt]
