"""The clock of the database, so that the clocks of machines do not matter."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class utc_epoch(FunctionElement[float]):  # noqa: N801 (an SQL function, written as one)
    """Seconds since 1970-01-01 UTC as the database sees them, to about a millisecond."""

    type = Float()
    name = "utc_epoch"
    inherit_cache = True


@compiles(utc_epoch, "sqlite")
def _sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(utc_epoch, "postgresql")
def _postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return "(extract(epoch from clock_timestamp())::float8)"
