"""The declarative base and the column types that every table shares."""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import JSON, Float, MetaData, String
from sqlalchemy.orm import DeclarativeBase, mapped_column

from db.clock import utc_epoch

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of all tables; constraint names are fixed so that migrations can refer to them."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012 (as SQLAlchemy asks)


Digest = Annotated[str, mapped_column(String(64))]
CreatedAt = Annotated[float, mapped_column(Float, server_default=utc_epoch(), index=True)]
