"""`environment`: the facts of this machine, and its runtimes with their versions."""

from __future__ import annotations

from dataclasses import asdict

from engine.cli.options import Json
from engine.cli.output import emit_json, emit_table, note, out
from engine.common import environment as machine
from engine.runtimes.registry import statuses


def environment(json: Json = False) -> int:
    """Shows the facts of this machine, and the version and precisions of each runtime.

    Example: `python -m engine environment`
    """
    found, runtimes = machine.observe_machine(), statuses()
    if json:
        emit_json({"digest": found.digest, **found.facts, "runtimes": list(map(asdict, runtimes))})
        return 0
    for name, value in found.facts.items():
        parts = [f"{key} {text}" for key, text in value.items()] if isinstance(value, dict) else []
        parts = parts or list(map(str, value if isinstance(value, list) else [value]))
        out.print(f"{name:>12}  {', '.join(parts) or 'none'}", markup=False)
    emit_table(
        "Runtimes",
        ("runtime", "version", "precisions here"),
        [
            (one.name, one.version or "not installed", ", ".join(one.precisions) or None)
            for one in runtimes
        ],
    )
    for reason in dict.fromkeys(reason for one in runtimes for reason in one.reasons):
        note(f"Note: {reason}")
    return 0
