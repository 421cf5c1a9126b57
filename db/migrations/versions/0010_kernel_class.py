"""recipes of evaluations hold the kernel class of a machine instead of all its facts

What decides the outputs is the instruction set, the versions of the runtime and of the libraries,
and the threads of a batch; the name of the machine does not. A recipe is rewritten where the rows
tell all its parts, which is verified by its digest; any other one stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

CPU_PROVIDER, DEFAULT_RUNTIME, DEFAULT_BATCH, MAX_IN_FLIGHT = (
    *("CPUExecutionProvider", "onnxruntime"),
    *(16, 4),
)
PACKAGES = ("numpy", "pillow", "opencv-python-headless")
EVALUATION = sa.table(
    "evaluation",
    *(sa.column(name) for name in ("id", "recipe", "artifact_digest", "dataset_digest")),
    *(sa.column(name) for name in ("images_planned", "job_id", "environment_digest")),
    *(sa.column(name, sa.JSON) for name in ("preprocess", "protocol")),
)
ENVIRONMENT = sa.table("environment", sa.column("digest"), sa.column("facts", sa.JSON))
JOB = sa.table("job", sa.column("id"), sa.column("params", sa.JSON))


def upgrade() -> None:
    _rewrite("environment", "kernels")


def downgrade() -> None:
    _rewrite("kernels", "environment")


def _rewrite(before: str, after: str) -> None:
    """Replaces the part `before` of the recipes by the part `after`."""
    connection = op.get_bind()
    facts = {row.digest: row.facts for row in connection.execute(sa.select(ENVIRONMENT))}
    params = {row.id: row.params for row in connection.execute(sa.select(JOB))}
    rows = connection.execute(sa.select(EVALUATION)).all()
    found: dict[int, tuple[str, str]] = {}
    for row in rows:
        machine = facts.get(row.environment_digest)
        if machine is None or row.artifact_digest is None or row.preprocess is None:
            continue
        values = {"environment": row.environment_digest, "kernels": _kernels(row, machine)}
        for parts in _candidates(row, params.get(row.job_id or 0) or {}):
            if _digest({**parts, before: values[before]}) == row.recipe:
                found[row.id] = (row.recipe, _digest({**parts, after: values[after]}))
                break
    for row in rows:  # results under other labels, whose recipes are made of those of others
        source = found.get((row.protocol or {}).get("relabelled_from") or 0)
        labels = (row.protocol or {}).get("label_set_sha256")
        if source is not None and _digest([source[0], labels]) == row.recipe:
            found[row.id] = (row.recipe, _digest([source[1], labels]))
    taken = {row.recipe for row in rows}
    for number, (_, recipe) in sorted(found.items(), reverse=True):
        if recipe not in taken:  # of two machines of one class, the newer result has the recipe
            taken.add(recipe)
            statement = EVALUATION.update().where(EVALUATION.c.id == number)
            connection.execute(statement.values(recipe=recipe))


def _kernels(row: Any, facts: dict[str, Any]) -> dict[str, Any]:
    protocol, packages = row.protocol or {}, facts.get("packages") or {}
    threads = int(protocol.get("threads") or 1)
    kernels: dict[str, Any] = {
        "machine": facts.get("machine"),
        "isa": facts.get("isa"),
        "packages": {name: packages[name] for name in PACKAGES if name in packages},
        "runtime": protocol.get("runtime") or f"{DEFAULT_RUNTIME} {packages.get(DEFAULT_RUNTIME)}",
        "threads": max(1, threads // max(1, min(threads, MAX_IN_FLIGHT))),
    }
    if (protocol.get("provider") or CPU_PROVIDER) != CPU_PROVIDER:
        kernels["gpu"] = facts.get("gpu")
    return kernels


def _candidates(row: Any, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the parts of a recipe may be, apart from those of the machine."""
    protocol = row.protocol or {}
    runtime = protocol.get("runtime") or DEFAULT_RUNTIME
    limits = dict.fromkeys((params.get("limit"), None, row.images_planned))
    batches = dict.fromkeys(filter(None, (params.get("batch"), protocol.get("batch"))))
    for limit, batch, classes in product(
        limits, batches or (DEFAULT_BATCH,), (None, _present_classes(row.dataset_digest))
    ):
        parts = {
            "artifact": row.artifact_digest,
            "dataset": row.dataset_digest,
            "limit": limit,
            "preprocess": _digest(row.preprocess),
            "batch": batch,
            "provider": protocol.get("provider") or CPU_PROVIDER,
        }
        if runtime.partition(" ")[0] != DEFAULT_RUNTIME:
            parts["runtime"] = runtime
        if classes is not None:
            parts["class_of_output"] = classes
        yield parts


def _present_classes(dataset: str) -> list[int] | None:
    """The classes of a dataset with images, which outputs may have been matched with."""
    home: Path | None = context.config.attributes.get("home")
    if home is None:
        return None
    try:
        found: list[int] | None = json.loads((home / "datasets" / f"{dataset}.json").read_text())[
            "present"
        ]
    except (OSError, ValueError, KeyError):
        return None
    return found


def _digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
