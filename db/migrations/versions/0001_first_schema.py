"""first schema"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.clock import utc_epoch

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("layout", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("num_images", sa.Integer(), nullable=False),
        sa.Column("num_classes", sa.Integer(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), server_default=utc_epoch(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("name", name=op.f("uq_dataset_name")),
    )
    with op.batch_alter_table("dataset", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dataset_created_at"), ["created_at"], unique=False)

    op.create_table(
        "environment",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), server_default=utc_epoch(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_environment")),
    )
    with op.batch_alter_table("environment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_environment_created_at"), ["created_at"], unique=False)

    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("timeout_s", sa.Double(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("cancel", sa.Boolean(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("host", sa.String(length=200), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("done", sa.Integer(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("unit", sa.String(length=20), nullable=True),
        sa.Column("rate", sa.Double(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("log_tail", sa.Text(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Float(), server_default=utc_epoch(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_created_at"), ["created_at"], unique=False)
        batch_op.create_index("ix_job_status_priority", ["status", "priority", "id"], unique=False)
        batch_op.create_index(
            "uq_job_live_key",
            ["key"],
            unique=True,
            sqlite_where=sa.text("status IN ('queued', 'running')"),
            postgresql_where=sa.text("status IN ('queued', 'running')"),
        )

    op.create_table(
        "model",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=180), nullable=False),
        sa.Column("architecture", sa.String(length=180), nullable=False),
        sa.Column("in_catalogue", sa.Boolean(), nullable=False),
        sa.Column("weights_ref", sa.Text(), nullable=True),
        sa.Column("published_top1", sa.Double(), nullable=True),
        sa.Column("published_top5", sa.Double(), nullable=True),
        sa.Column("published_flops_g", sa.Double(), nullable=True),
        sa.Column("published_params_m", sa.Double(), nullable=True),
        sa.Column("preprocess", sa.JSON(), nullable=True),
        sa.Column("compute_gmacs", sa.Double(), nullable=True),
        sa.Column("params_m", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Float(), server_default=utc_epoch(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
    )
    with op.batch_alter_table("model", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_model_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_model_source"), ["source"], unique=False)

    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), server_default=utc_epoch(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_created_at"), ["created_at"], unique=False)

    op.create_table(
        "job_need",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("needs_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_need_job_id")),
        sa.ForeignKeyConstraint(["needs_id"], ["job.id"], name=op.f("fk_job_need_needs_id")),
        sa.PrimaryKeyConstraint("job_id", "needs_id", name=op.f("pk_job_need")),
    )
    with op.batch_alter_table("job_need", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_need_needs_id"), ["needs_id"], unique=False)

    op.create_table(
        "run_job",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_run_job_job_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_job_run_id")),
        sa.PrimaryKeyConstraint("run_id", "job_id", name=op.f("pk_run_job")),
    )
    with op.batch_alter_table("run_job", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_job_job_id"), ["job_id"], unique=False)

    op.create_table(
        "weights",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("model_id", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), server_default=utc_epoch(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_weights_model_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_weights")),
    )
    with op.batch_alter_table("weights", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_weights_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_weights_model_id"), ["model_id"], unique=False)

    op.create_table(
        "artifact",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("recipe", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("model_id", sa.String(length=200), nullable=False),
        sa.Column("weights_digest", sa.String(length=64), nullable=False),
        sa.Column("weights_kind", sa.String(length=20), nullable=False),
        sa.Column("parent_digest", sa.String(length=64), nullable=True),
        sa.Column("format", sa.String(length=20), nullable=False),
        sa.Column("precision", sa.String(length=10), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), server_default=utc_epoch(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_artifact_model_id")),
        sa.ForeignKeyConstraint(
            ["parent_digest"], ["artifact.digest"], name=op.f("fk_artifact_parent_digest")
        ),
        sa.ForeignKeyConstraint(
            ["weights_digest"], ["weights.digest"], name=op.f("fk_artifact_weights_digest")
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_artifact")),
    )
    with op.batch_alter_table("artifact", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_artifact_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_artifact_model_id"), ["model_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_artifact_recipe"), ["recipe"], unique=False)

    op.create_table(
        "benchmark",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("artifact_digest", sa.String(length=64), nullable=False),
        sa.Column("environment_digest", sa.String(length=64), nullable=False),
        sa.Column("runtime", sa.String(length=40), nullable=False),
        sa.Column("provider", sa.String(length=60), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("threads", sa.Integer(), nullable=False),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.Column("images_per_s", sa.Double(), nullable=False),
        sa.Column("images_per_s_low", sa.Double(), nullable=False),
        sa.Column("images_per_s_high", sa.Double(), nullable=False),
        sa.Column("latency_mean_ms", sa.Double(), nullable=False),
        sa.Column("latency_p50_ms", sa.Double(), nullable=False),
        sa.Column("latency_p90_ms", sa.Double(), nullable=False),
        sa.Column("latency_p95_ms", sa.Double(), nullable=False),
        sa.Column("latency_p99_ms", sa.Double(), nullable=True),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("load_ms", sa.Double(), nullable=False),
        sa.Column("first_inference_ms", sa.Double(), nullable=False),
        sa.Column("peak_rss_mb", sa.Double(), nullable=False),
        sa.Column("achieved_gmacs_per_s", sa.Double(), nullable=True),
        sa.Column("stable", sa.Boolean(), nullable=False),
        sa.Column("other_busy_cores", sa.Double(), nullable=False),
        sa.Column("latencies_path", sa.Text(), nullable=False),
        sa.Column("protocol", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), server_default=utc_epoch(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_digest"], ["artifact.digest"], name=op.f("fk_benchmark_artifact_digest")
        ),
        sa.ForeignKeyConstraint(
            ["environment_digest"],
            ["environment.digest"],
            name=op.f("fk_benchmark_environment_digest"),
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_benchmark_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_benchmark")),
    )
    with op.batch_alter_table("benchmark", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_benchmark_artifact_digest"), ["artifact_digest"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_benchmark_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_benchmark_job_id"), ["job_id"], unique=False)

    op.create_table(
        "evaluation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("recipe", sa.String(length=64), nullable=False),
        sa.Column("artifact_digest", sa.String(length=64), nullable=False),
        sa.Column("environment_digest", sa.String(length=64), nullable=False),
        sa.Column("dataset_name", sa.String(length=100), nullable=False),
        sa.Column("dataset_digest", sa.String(length=64), nullable=False),
        sa.Column("preprocess", sa.JSON(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("images_in_dataset", sa.Integer(), nullable=False),
        sa.Column("top1_count", sa.Integer(), nullable=False),
        sa.Column("top5_count", sa.Integer(), nullable=False),
        sa.Column("at_chance", sa.Boolean(), nullable=False),
        sa.Column("per_image_path", sa.Text(), nullable=False),
        sa.Column("protocol", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), server_default=utc_epoch(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_digest"], ["artifact.digest"], name=op.f("fk_evaluation_artifact_digest")
        ),
        sa.ForeignKeyConstraint(
            ["environment_digest"],
            ["environment.digest"],
            name=op.f("fk_evaluation_environment_digest"),
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_evaluation_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
        sa.UniqueConstraint("recipe", name=op.f("uq_evaluation_recipe")),
    )
    with op.batch_alter_table("evaluation", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_evaluation_artifact_digest"), ["artifact_digest"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_evaluation_created_at"), ["created_at"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_evaluation_dataset_digest"), ["dataset_digest"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_evaluation_job_id"), ["job_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("evaluation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evaluation_job_id"))
        batch_op.drop_index(batch_op.f("ix_evaluation_dataset_digest"))
        batch_op.drop_index(batch_op.f("ix_evaluation_created_at"))
        batch_op.drop_index(batch_op.f("ix_evaluation_artifact_digest"))

    op.drop_table("evaluation")
    with op.batch_alter_table("benchmark", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_benchmark_job_id"))
        batch_op.drop_index(batch_op.f("ix_benchmark_created_at"))
        batch_op.drop_index(batch_op.f("ix_benchmark_artifact_digest"))

    op.drop_table("benchmark")
    with op.batch_alter_table("artifact", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_artifact_recipe"))
        batch_op.drop_index(batch_op.f("ix_artifact_model_id"))
        batch_op.drop_index(batch_op.f("ix_artifact_created_at"))

    op.drop_table("artifact")
    with op.batch_alter_table("weights", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_weights_model_id"))
        batch_op.drop_index(batch_op.f("ix_weights_created_at"))

    op.drop_table("weights")
    with op.batch_alter_table("run_job", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_job_job_id"))

    op.drop_table("run_job")
    with op.batch_alter_table("job_need", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_need_needs_id"))

    op.drop_table("job_need")
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_created_at"))

    op.drop_table("run")
    with op.batch_alter_table("model", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_model_source"))
        batch_op.drop_index(batch_op.f("ix_model_created_at"))

    op.drop_table("model")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_job_live_key",
            sqlite_where=sa.text("status IN ('queued', 'running')"),
            postgresql_where=sa.text("status IN ('queued', 'running')"),
        )
        batch_op.drop_index("ix_job_status_priority")
        batch_op.drop_index(batch_op.f("ix_job_created_at"))

    op.drop_table("job")
    with op.batch_alter_table("environment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_environment_created_at"))

    op.drop_table("environment")
    with op.batch_alter_table("dataset", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dataset_created_at"))

    op.drop_table("dataset")
