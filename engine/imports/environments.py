"""The machine of an outside result, as far as whoever imports it says what it was."""

from __future__ import annotations

from typing import Any

from db.models import Environment
from db.session import writing
from engine.common.digests import data_digest
from engine.common.untrusted import plain_facts

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
