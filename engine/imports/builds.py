"""Records the builds and environments of imported results."""

from __future__ import annotations

from typing import Any

from db.enums import Precision
from db.models import Environment, ImportedBuild, Model
from db.session import reading, writing
from engine.catalog.models import find_model
from engine.common.digests import data_digest
from engine.common.untrusted import plain_facts, plain_name
from engine.errors import InvalidRequest
from engine.store.database import record_model

MAX_SOURCE_LENGTH = 200


def record_build(
    model_id: str, precision: Precision, source: str, url: str, **facts: Any
) -> ImportedBuild:
    """The imported build of model, precision and source; an existing one is returned again.

    So the accuracy and the speed of an accelerator, imported separately, belong to the same build.
    Raises InvalidRequest for an unknown model and for an empty source.
    """
    model = find_model(model_id)
    if not source.strip():
        raise InvalidRequest(
            f"The source of an import is empty; give its origin in 1 to {MAX_SOURCE_LENGTH} "
            f"characters, such as --source 'card X, driver 1.2'."
        )
    source = plain_name(source, "The source", MAX_SOURCE_LENGTH)
    digest = data_digest(["imported", model.id, str(precision), source])
    with reading(url) as session:
        exists = session.get(Model, model.id) is not None
    if not exists:
        record_model(model, url)
    with writing(url) as session:
        row = session.get(ImportedBuild, digest)
        if row is None:
            row = ImportedBuild(
                digest=digest,
                model_id=model.id,
                precision=str(precision),
                source=source,
                facts={},
            )
            session.add(row)
        row.facts = {**row.facts, **{k: v for k, v in facts.items() if v is not None}}
    return row


MAX_LABEL_LENGTH = 200


def record_environment(facts: dict[str, Any] | None, url: str) -> str | None:
    """Records an environment by its facts; returns its digest, or None without facts.

    The label consists of `device` (else `cpu`) and `runtime`. The digest differs from that of every
    machine observed here, so imported speeds are never mixed with measured ones. Raises
    InvalidRequest for facts that cannot be stored.
    """
    if not facts:
        return None
    stated = {**plain_facts(facts, "environment"), "imported": True}
    digest = data_digest(stated)
    with writing(url) as session:
        session.merge(Environment(digest=digest, label=_label(facts), facts=stated))
    return digest


def _label(facts: dict[str, Any]) -> str:
    parts = [str(facts[name]) for name in ("device", "cpu", "gpu", "runtime") if facts.get(name)]
    return f"{', '.join(parts) or 'another machine'} (imported)"[:MAX_LABEL_LENGTH]
