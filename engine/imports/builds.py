"""The imported build: what an outside result is a result of."""

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

SOURCE_LENGTH = 200


def record_build(
    model_id: str, precision: Precision, source: str, url: str, **facts: Any
) -> ImportedBuild:
    """The build of a model at a precision as `source` has it; the same one when asked again.

    So an accelerator's accuracy and its speed, imported one after the other, share a row. Raises
    InvalidRequest for a model that does not exist and for a source that says nothing.
    """
    model = find_model(model_id)
    if not source.strip():
        raise InvalidRequest(
            f"An import says where it comes from in 1 to {SOURCE_LENGTH} letters "
            f"(--source 'card X, driver 1.2'); 0 were given."
        )
    source = plain_name(source, "The source", SOURCE_LENGTH)
    digest = data_digest(["imported", model.id, str(precision), source])
    with reading(url) as session:
        known = session.get(Model, model.id) is not None
    if not known:
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


LABEL_LENGTH = 200


def record_outside(facts: dict[str, Any] | None, url: str) -> str | None:
    """Writes the environment's row, once; returns its digest, or None where nothing is known.

    `device` (else `cpu`) and `runtime` make its label. The digest can never be that of a machine
    observed here, so an outside speed never joins the speeds of this machine unasked. Raises
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
    named = [str(facts[name]) for name in ("device", "cpu", "gpu", "runtime") if facts.get(name)]
    return f"{', '.join(named) or 'another machine'} (imported)"[:LABEL_LENGTH]
