"""What made a result, all of it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.formats import duration, escape_markdown, is_missing, number, short, size
from dashboard.queries import Provenance
from db.tables import Benchmark, Evaluation, ImportedBuild
from engine.accuracy.seen_images import seen_sentence
from engine.errors import WorkbenchError
from engine.preprocess import PreprocessSpec


def show_provenance(found: Provenance) -> None:
    """Cards side by side: artifact and weights, accuracy, speed, machine."""
    with st.grid(2, min_column_width=340):
        for title, facts in cards_of(found).items():
            with st.container(border=True, height="stretch"):
                st.markdown(f"**{title}**")
                facts_table(facts, alt=f"{title}: what made this result")


def cards_of(found: Provenance) -> dict[str, dict[str, Any]]:
    """Everything that made a result, by card; a card without facts is left out."""
    cards = {
        "Artifact": _artifact(found),
        "Accuracy": _accuracy(found),
        "Speed": _speed(found),
        "Machine": _machine(found),
    }
    return {title: facts for title, facts in cards.items() if facts}


def facts_table(facts: dict[str, Any], alt: str) -> None:
    """Names and values; the values are shown as they are, never as markup."""
    rows = {name: escape_markdown(str(value)) for name, value in facts.items() if value is not None}
    st.table(rows, border="horizontal", alt=alt)


def _artifact(found: Provenance) -> dict[str, Any]:
    artifact, weights = found.artifact, found.weights
    if found.imported is not None:
        return _imported(found.imported)
    if artifact is None:
        return {}
    made = artifact.manifest.get("build") or {}
    return {
        "model": artifact.model_id,
        "precision": artifact.precision,
        "execution": made.get("execution"),
        "calibration": _calibration(made.get("calibration")),
        "artifact SHA-256": short(artifact.digest),
        "size": size(artifact.size_bytes),
        "weights": artifact.weights_kind,
        "weights SHA-256": short(artifact.weights_digest),
        "weights from": weights.origin if weights else None,
        "GMACs": number(artifact.manifest.get("compute", {}).get("gmacs"), 4),
    }


def _imported(build: ImportedBuild) -> dict[str, Any]:
    return {
        "model": build.model_id,
        "precision": build.precision,
        "imported from": build.source,
        **build.facts,
    }


def _calibration(made: dict[str, Any] | None) -> str | None:
    if not made:
        return None
    text = f"{made['mode']} over {made['images']:,} images of {made['dataset']}"
    asked = made.get("images_asked", made["images"])
    return text if asked == made["images"] else f"{text} ({asked:,} were asked)"


def _accuracy(found: Provenance) -> dict[str, Any]:
    row = found.evaluation
    if row is None:
        return {}
    return {
        "top-1": _count(row.top1_count, row.images),
        "top-5": _count(row.top5_count, row.images),
        "partial": _partial(row),
        "seen by the build before": seen_sentence(row.protocol),
        "labels": None if row.label_set == "dataset" else row.label_set,
        "imported from": row.protocol.get("imported_from"),
        "dataset": row.dataset_name,
        "dataset SHA-256": short(row.dataset_digest),
        "images in the dataset": f"{row.images_in_dataset:,}",
        "preprocessing": _preprocess(row.preprocess),
        "scoring": row.protocol.get("scoring"),
        "batch": row.protocol.get("batch"),
        "provider": row.protocol.get("provider"),
        "evaluation": row.id,
    }


def _count(count: int | None, images: int) -> str | None:
    return None if count is None else f"{count:,} of {images:,}"


def _partial(row: Evaluation) -> str | None:
    if row.images_planned is None or row.images == row.images_planned:
        return None
    return f"the first {row.images:,} of {row.images_planned:,} images"


def _preprocess(plain: dict[str, Any] | None) -> str:
    if plain is None:
        return "not stated"
    try:
        return PreprocessSpec.from_dict(plain).summary()
    except WorkbenchError as error:
        return str(error)


def _speed(found: Provenance) -> dict[str, Any]:
    row = found.benchmark
    if row is None:
        return {}
    protocol = row.protocol
    if row.imported_digest is not None:
        return _imported_speed(row)
    range_text = f"{number(row.images_per_s_low)} to {number(row.images_per_s_high)}"
    return {
        "images/s": f"{number(row.images_per_s)} ({range_text} over the reported windows)",
        "p50 / p90 / p99": " / ".join(
            f"{number(value, 2)} ms" if not is_missing(value) else "withheld, under 100 requests"
            for value in (row.latency_p50_ms, row.latency_p90_ms, row.latency_p99_ms)
        ),
        "stable": "yes" if row.stable else "no: the last windows did not agree",
        "requests": f"{row.samples:,}",
        "windows": f"{protocol.get('windows')} of {protocol.get('window_s')} s",
        "warm-up": duration(protocol.get("warm_up_s")),
        "batch, threads, in flight": f"{row.batch}, {row.threads}, {row.instances}",
        "processes": protocol.get("processes", 1),
        "provider": row.provider,
        "runtime": row.runtime,
        "cores busy with other work": number(row.other_busy_cores, 2),
        "load before": number(protocol.get("load_1min_before"), 2),
        "benchmark": row.id,
    }


def _imported_speed(row: Benchmark) -> dict[str, Any]:
    return {
        "images/s": f"{number(row.images_per_s)} (imported, not measured here)",
        "p50 / p90 / p99": " / ".join(
            f"{number(value, 2)} ms" if not is_missing(value) else "not stated"
            for value in (row.latency_p50_ms, row.latency_p90_ms, row.latency_p99_ms)
        ),
        "batch, threads, in flight": f"{row.batch}, {row.threads}, {row.instances}",
        "provider": row.provider,
        "runtime": row.runtime,
        "benchmark": row.id,
    }


def _machine(found: Provenance) -> dict[str, Any]:
    return environment_facts(found.environment.facts) if found.environment else {}


def environment_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of a machine in words, one line each, packages last."""
    lines = {
        _FACTS.get(name, name.replace("_", " ")): ", ".join(value) if name == "isa" else value
        for name, value in facts.items()
        if name != "packages" and value not in (None, [], "")
    }
    return {**lines, **(facts.get("packages") or {})}


_FACTS = {
    "cpu": "processor",
    "isa": "instructions",
    "cores": "usable cores",
    "memory_gb": "memory (GiB)",
    "governor": "frequency governor",
    "os": "operating system",
    "machine": "architecture",
}
