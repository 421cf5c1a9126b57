"""What made a build: its model, weights and precision, and what was done to it."""

from __future__ import annotations

from typing import Any

from dashboard.formats import number, plural, short, size
from dashboard.queries import Provenance
from db.models import ImportedBuild
from engine.build.int8.summary import bound_told
from engine.store import artifacts


def artifact_facts(found: Provenance) -> dict[str, Any]:
    """Names and values of the card on a build; empty where there is none."""
    artifact, weights = found.artifact, found.weights
    if found.imported is not None:
        return _imported(found.imported)
    if artifact is None:
        return {}
    made = artifact.manifest.get("build") or {}
    return {
        "model": artifact.model_id,
        "precision": artifact.precision,
        "execution": _execution(made),
        "quantized already": _quantized(artifact.manifest.get("quantised")),
        "int8 target": _target(made.get("quantization") or {}),
        "calibration": _calibration(made.get("calibration")),
        "bound on the drop": bound_told((made.get("quantization") or {}).get("bound")),
        "range-checked on": _range_check(made.get("half")),
        "fp16 against fp32": _half_agreement(made.get("half")),
        "artifact SHA-256": short(artifact.digest),
        "size": size(artifact.size_bytes),
        "weights": artifact.weights_kind,
        "weights SHA-256": short(artifact.weights_digest),
        "weights from": weights.origin if weights else None,
        "set of weights": artifact.manifest.get(artifacts.WEIGHTS_KEY),
        "GMACs": _gmacs(artifact.manifest.get("compute") or {}),
        "taken in": " ".join(artifact.manifest.get(artifacts.NOTES, [])) or None,
    }


def _gmacs(compute: dict[str, Any]) -> str:
    counted = number(compute.get("gmacs"), 4)
    return f"{counted} ({compute['unknown']})" if compute.get("unknown") else counted


def _imported(build: ImportedBuild) -> dict[str, Any]:
    return {
        "model": build.model_id,
        "precision": build.precision,
        "imported from": build.source,
        **build.facts,
    }


def _execution(made: dict[str, Any]) -> str | None:
    kind, why = made.get("execution"), made.get("execution_why")
    return f"{kind}: {why}" if kind and why else kind


def _quantized(found: dict[str, Any] | None) -> str | None:
    if not found:
        return None
    return f"{found['layers']} of {plural(found['of'], 'layer')} of the file are in integers"


def _target(made: dict[str, Any]) -> str | None:
    target = made.get("target")
    return f"{target['summary']}: {target['why']}" if target else None


def _range_check(made: dict[str, Any] | None) -> str | None:
    if not made:
        return None
    checked = made["checked"]
    kept = f"{plural(len(made['kept_in_float']), 'node')} kept in float"
    if checked["dataset"] is None:
        return f"{checked['note']}; {kept}"
    return f"{checked['images']} images of {checked['dataset']}; {kept}"


def _half_agreement(made: dict[str, Any] | None) -> str | None:
    if not made:
        return None
    found = made["agreement"]
    return (
        f"same class on {found['same_class']} of {found['images']} images, "
        f"{found['signal_db']:.0f} dB of signal, with every stored value rounded"
    )


def _calibration(made: dict[str, Any] | None) -> str | None:
    if not made:
        return None
    text = f"{made['mode']} over {made['images']:,} images of {made['dataset']}"
    asked = made.get("images_asked", made["images"])
    return text if asked == made["images"] else f"{text} ({asked:,} were asked)"
