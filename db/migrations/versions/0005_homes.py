"""the home that a database belongs to; data sets inside it by paths relative to it"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import sqlalchemy as sa
from alembic import context, op

from db.clock import utc_epoch

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

DRAWN = ("demo", "demo-calibration")


def upgrade() -> None:
    op.create_table(
        "home",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("identity", sa.String(length=36), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.Float(), server_default=utc_epoch(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_home")),
        sa.CheckConstraint("id = 1", name=op.f("ck_home_one_home")),
    )
    op.create_index(op.f("ix_home_created_at"), "home", ["created_at"])
    op.add_column("job", sa.Column("home", sa.String(length=36), nullable=True))
    _make_roots_relative(context.config.attributes.get("home"))


def _make_roots_relative(home: Path | None) -> None:
    """Of sets inside the home; drawn ones wherever the home was when they were registered."""
    table = sa.table("dataset", sa.column("id"), sa.column("name"), sa.column("root"))
    connection = op.get_bind()
    for number, name, root in connection.execute(sa.select(*table.c)).all():
        inside = PurePosixPath("datasets") / name
        path = PurePosixPath(root)
        if home is not None and path.is_relative_to(home):
            inside = path.relative_to(home)
        elif name not in DRAWN or path.parts[-2:] != inside.parts:
            continue
        connection.execute(table.update().where(table.c.id == number).values(root=str(inside)))


def downgrade() -> None:
    op.drop_column("job", "home")
    op.drop_index(op.f("ix_home_created_at"), table_name="home")
    op.drop_table("home")
