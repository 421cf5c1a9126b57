"""What made a result, all of it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components.details.artifact_facts import artifact_facts
from dashboard.formats import duration, escape_markdown, is_missing, number, short
from dashboard.queries import Provenance
from db.models import Benchmark, Evaluation
from engine.benchmark.scenarios.definitions import label_of, verdict_of
from engine.datasets.classes import CLASS_MATCHING
from engine.errors import WorkbenchError
from engine.evaluation.overlap_text import seen_sentence
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
        "Artifact": artifact_facts(found),
        "Accuracy": _accuracy(found),
        "Speed": _speed(found),
        "Machine": _machine(found),
    }
    return {title: facts for title, facts in cards.items() if facts}


def facts_table(facts: dict[str, Any], alt: str) -> None:
    """Names and values; the values are shown as they are, never as markup."""
    rows = {name: escape_markdown(str(value)) for name, value in facts.items() if value is not None}
    st.table(rows, border="horizontal", alt=alt)


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
        "classes": row.protocol.get(CLASS_MATCHING),
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
        "images/s": number(row.images_per_s)
        + ("" if row.images_per_s_low is None else f" ({range_text} over the reported windows)"),
        "GMAC/s": _achieved(row, found.peak_gmacs_per_s),
        "p50 / p90 / p99": _latencies(row),
        "scenario": label_of(protocol.get("scenario")),
        "verdict": verdict_of(protocol.get("scenario")),
        **_scenario_facts(protocol.get("scenario") or {}),
        "stable": _stable(row),
        "noisy because": "; ".join(protocol.get("noise") or []) or None,
        "requests": f"{row.samples:,}",
        "windows": f"{protocol.get('windows')} of {protocol.get('window_s')} s",
        "warm-up": duration(protocol.get("warm_up_s")),
        "batch, threads, in flight": f"{row.batch}, {row.threads}, {row.instances}",
        "processes": protocol.get("processes", 1),
        "provider": row.provider,
        "nodes by provider": _nodes(protocol.get("nodes")),
        "runtime": row.runtime,
        "cores busy with other work": number(row.other_busy_cores, 2),
        "load before": number(protocol.get("load_1min_before"), 2),
        **_during(protocol.get("during") or {}),
        "benchmark": row.id,
    }


def _stable(row: Benchmark) -> str | None:
    """Only where windows were held against each other."""
    if row.stable is None:
        return None
    return "yes" if row.stable else "no: the last windows did not agree"


def _scenario_facts(told: dict[str, Any]) -> dict[str, Any]:
    """What only one scenario has."""
    facts: dict[str, Any] = {}
    if told.get("p90_estimate_ms"):
        facts["p90, MLPerf's estimate"] = f"{number(told['p90_estimate_ms'], 2)} ms"
    if "rate_per_s" in told:
        facts["arrivals"] = f"{number(told['rate_per_s'])} requests/s, seed {told['seed']}"
    if len(told.get("tried") or []) > 1:
        facts["rates tried"] = ", ".join(
            f"{number(one['rate_per_s'])} {'valid' if one['valid'] else 'invalid'}"
            for one in told["tried"]
        )
    return facts


def _nodes(counts: dict[str, int] | None) -> str:
    if not counts:
        return "not told by this runtime"
    return ", ".join(f"{count:,} on {provider}" for provider, count in counts.items())


def _during(seen: dict[str, Any]) -> dict[str, Any]:
    """What the machine did while the windows were taken."""
    if not seen:
        return {}
    low, middle, high = seen.get("mhz") or (None, None, None)
    moved = f" ({number(low, 0)} to {number(high, 0)})" if low != high else ""
    clock = f"{number(middle, 0)} MHz{moved}"
    return {
        "load after": number(seen["load_1min"][1], 2),
        "clock meanwhile": clock if middle is not None else "not told by this system",
        "busiest others": ", ".join(f"{name} {cores:.2f}" for name, cores in seen["others"])
        or "none",
        "watching cost": f"{100 * seen['watching_cores']:.2f} % of a core",
    }


def _latencies(row: Benchmark) -> str:
    if row.latency_p50_ms is None:
        return "none: in this scenario a latency has no meaning"
    return " / ".join(
        f"{number(value, 2)} ms" if not is_missing(value) else "withheld, under 100 requests"
        for value in (row.latency_p50_ms, row.latency_p90_ms, row.latency_p99_ms)
    )


def _achieved(row: Benchmark, peak_gmacs_per_s: float | None) -> str | None:
    if row.achieved_gmacs_per_s is None:
        return None
    achieved = number(row.achieved_gmacs_per_s)
    if peak_gmacs_per_s is None:
        return achieved
    share = row.achieved_gmacs_per_s / peak_gmacs_per_s
    return f"{achieved}, {share:.0%} of the machine's peak of {number(peak_gmacs_per_s)}"


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
