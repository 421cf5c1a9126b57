"""Runs (what a user asked for), jobs (the work they are made of), and the home they belong to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Boolean, CheckConstraint, ForeignKey, Index, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, CreatedAt
from db.enums import JobStatus

_LIVE_ROWS = text("status IN ('queued', 'running')")


class Home(Base):
    """The one home whose dispatcher runs the jobs; `folder` and `host` are for display."""

    __tablename__ = "home"
    __table_args__ = (CheckConstraint("id = 1", name="one_home"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    identity: Mapped[str] = mapped_column(String(36))
    folder: Mapped[str] = mapped_column(Text)
    host: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[CreatedAt]


class Run(Base):
    """One request: a model at some precisions, with some tasks."""

    __tablename__ = "run"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    request: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


class Job(Base):
    """One unit of background work. `attempt` is the fence of every write by a running job.

    `home` is the identity of the host that runs it, `host` its name for people. `wants` says on
    which hosts it may run (absent: any); `result` is what it gave back, `partial_result` what it
    has found while it still runs.
    """

    __tablename__ = "job"
    __table_args__ = (
        Index(
            "uq_job_live_key",
            "key",
            unique=True,
            sqlite_where=_LIVE_ROWS,
            postgresql_where=_LIVE_ROWS,
        ),
        Index("ix_job_status_priority", "status", "priority", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(30))
    title: Mapped[str] = mapped_column(String(200))
    params: Mapped[dict[str, Any]]
    key: Mapped[str] = mapped_column(String(64))
    priority: Mapped[int] = mapped_column(default=0)
    exclusive: Mapped[bool] = mapped_column(Boolean, default=False)
    timeout_s: Mapped[float]
    max_attempts: Mapped[int] = mapped_column(default=3)
    wants: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    status: Mapped[str] = mapped_column(String(20), default=JobStatus.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    cancel: Mapped[bool] = mapped_column(Boolean, default=False)
    lease_until: Mapped[float | None]
    home: Mapped[str | None] = mapped_column(String(36))
    host: Mapped[str | None] = mapped_column(String(200))
    pid: Mapped[int | None]
    done: Mapped[int | None]
    total: Mapped[int | None]
    unit: Mapped[str | None] = mapped_column(String(20))
    rate: Mapped[float | None]
    message: Mapped[str | None] = mapped_column(Text)
    log_tail: Mapped[str | None] = mapped_column(Text)
    result: Mapped[dict[str, Any] | None]
    partial_result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
    started_at: Mapped[float | None]
    ended_at: Mapped[float | None]


class RunJob(Base):
    """A run's share in a job; equal jobs of two runs are one job."""

    __tablename__ = "run_job"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True, index=True)


class JobNeed(Base):
    """`job_id` may start only after `needs_id` has succeeded; if `optional`, after it has ended."""

    __tablename__ = "job_need"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    needs_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True, index=True)
    optional: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
