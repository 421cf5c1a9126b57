"""results of other machines: imported builds, and what an import may leave open"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from db.clock import utc_epoch

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ONE_SUBJECT = "(artifact_digest IS NULL) <> (imported_digest IS NULL)"
BENCHMARK_OPTIONAL: dict[str, Any] = {
    "images_per_s_low": sa.Double(),
    "images_per_s_high": sa.Double(),
    "latency_mean_ms": sa.Double(),
    "latency_p50_ms": sa.Double(),
    "latency_p90_ms": sa.Double(),
    "latency_p95_ms": sa.Double(),
    "samples": sa.Integer(),
    "load_ms": sa.Double(),
    "first_inference_ms": sa.Double(),
    "peak_rss_mb": sa.Double(),
    "stable": sa.Boolean(),
    "other_busy_cores": sa.Double(),
    "latencies_path": sa.Text(),
}
EVALUATION_OPTIONAL: dict[str, Any] = {
    "environment_digest": sa.String(length=64),
    "preprocess": sa.JSON(),
    "top1_count": sa.Integer(),
    "top5_count": sa.Integer(),
    "per_image_path": sa.Text(),
}


def upgrade() -> None:
    op.create_table(
        "imported_build",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("model_id", sa.String(length=200), nullable=False),
        sa.Column("precision", sa.String(length=10), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), server_default=utc_epoch(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_imported_build_model_id")
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_imported_build")),
    )
    op.create_index(op.f("ix_imported_build_created_at"), "imported_build", ["created_at"])
    op.create_index(op.f("ix_imported_build_model_id"), "imported_build", ["model_id"])
    _open("benchmark", BENCHMARK_OPTIONAL)
    _open("evaluation", EVALUATION_OPTIONAL)
    with op.batch_alter_table("evaluation", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("label_set", sa.String(length=100), server_default="dataset", nullable=False)
        )
        batch_op.add_column(sa.Column("images_planned", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("images_digest", sa.String(length=64), nullable=True))


def _open(table: str, optional: dict[str, Any]) -> None:
    """Gives a table its second kind of subject, and makes what an import may lack optional."""
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.add_column(sa.Column("imported_digest", sa.String(length=64), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f(f"fk_{table}_imported_digest"),
            "imported_build",
            ["imported_digest"],
            ["digest"],
        )
        batch_op.create_index(batch_op.f(f"ix_{table}_imported_digest"), ["imported_digest"])
        batch_op.alter_column("artifact_digest", existing_type=sa.String(length=64), nullable=True)
        for name, kind in optional.items():
            batch_op.alter_column(name, existing_type=kind, nullable=True)
        batch_op.create_check_constraint(batch_op.f(f"ck_{table}_one_subject"), ONE_SUBJECT)


def downgrade() -> None:
    for table, optional in (("evaluation", EVALUATION_OPTIONAL), ("benchmark", BENCHMARK_OPTIONAL)):
        op.execute(sa.text(f"DELETE FROM {table} WHERE imported_digest IS NOT NULL"))  # noqa: S608
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_constraint(batch_op.f(f"ck_{table}_one_subject"), type_="check")
            batch_op.drop_constraint(batch_op.f(f"fk_{table}_imported_digest"), type_="foreignkey")
            batch_op.drop_index(batch_op.f(f"ix_{table}_imported_digest"))
            batch_op.drop_column("imported_digest")
            if table == "evaluation":
                for name in ("label_set", "images_planned", "images_digest"):
                    batch_op.drop_column(name)
            batch_op.alter_column(
                "artifact_digest", existing_type=sa.String(length=64), nullable=False
            )
            for name, kind in optional.items():
                batch_op.alter_column(name, existing_type=kind, nullable=False)
    op.drop_table("imported_build")
