"""annotations: a tag, a note, and whether a build is hidden"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.clock import utc_epoch

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "annotation",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("tag", sa.String(60), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("hidden", sa.Boolean(), nullable=False, server_default="0"),
        sa.Column("changed_at", sa.Float(), nullable=False, server_default=utc_epoch()),
        sa.PrimaryKeyConstraint("digest", name="pk_annotation"),
    )
    op.create_index("ix_annotation_tag", "annotation", ["tag"])
    op.create_index("ix_annotation_changed_at", "annotation", ["changed_at"])


def downgrade() -> None:
    op.drop_table("annotation")
