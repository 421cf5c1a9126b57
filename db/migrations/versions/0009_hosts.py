"""the machines that run jobs, and on which of them a job is to run"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.clock import utc_epoch

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "host",
        sa.Column("identity", sa.String(36), nullable=False),
        sa.Column("label", sa.String(60), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("heard_at", sa.Float(), nullable=False, server_default=utc_epoch()),
        sa.Column("created_at", sa.Float(), nullable=False, server_default=utc_epoch()),
        sa.PrimaryKeyConstraint("identity", name=op.f("pk_host")),
        sa.UniqueConstraint("label", name=op.f("uq_host_label")),
    )
    op.create_index(op.f("ix_host_created_at"), "host", ["created_at"])
    op.add_column("job", sa.Column("wants", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("job", "wants")
    op.drop_index(op.f("ix_host_created_at"), table_name="host")
    op.drop_table("host")
