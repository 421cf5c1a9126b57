"""The provenance of a result as names and values: artifact, accuracy, speed, machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from db.models import Artifact, Benchmark, Environment, Evaluation, ImportedBuild, Weights
from db.session import reading
from engine.benchmark.scenarios.definitions import label_of, verdict_of
from engine.build.int8.summary import bound_told
from engine.datasets.classes import CLASS_MATCHING
from engine.errors import WorkbenchError
from engine.evaluation.comparability import NOT_STATED
from engine.evaluation.overlap_text import seen_sentence
from engine.preprocess import PreprocessSpec
from engine.results.columns import title_of
from engine.store import artifacts
from engine.text import duration, is_missing, number, plural, short, size


@dataclass(frozen=True, slots=True)
class Provenance:
    """The database rows behind one result; None where it has no such row."""

    artifact: Artifact | None
    imported: ImportedBuild | None
    weights: Weights | None
    evaluation: Evaluation | None
    benchmark: Benchmark | None
    environment: Environment | None
    peak_gmacs_per_s: float | None = None


def load_provenance(
    url: str,
    artifact_digest: str,
    evaluation_id: int | None,
    benchmark_id: int | None,
    peak_gmacs_per_s: float | None = None,
) -> Provenance:
    """Reads the rows behind a result; `peak_gmacs_per_s`: the machine's peak for its speed."""
    with reading(url) as session:
        artifact = session.get(Artifact, artifact_digest)
        imported = session.get(ImportedBuild, artifact_digest)
        weights = session.get(Weights, artifact.weights_digest) if artifact else None
        evaluation = session.get(Evaluation, evaluation_id) if evaluation_id else None
        benchmark = session.get(Benchmark, benchmark_id) if benchmark_id else None
        measured = benchmark or evaluation
        digest = measured.environment_digest if measured else None
        environment = session.get(Environment, digest) if digest else None
    return Provenance(
        artifact, imported, weights, evaluation, benchmark, environment, peak_gmacs_per_s
    )


def provenance_cards(provenance: Provenance) -> dict[str, dict[str, Any]]:
    """The facts of a result by card; cards without facts are left out.

    Facts that are columns of the results table have the title of the column.
    """
    cards = {
        "Artifact": _artifact(provenance),
        "Accuracy": _accuracy(provenance),
        "Speed": _speed(provenance),
        "Machine": (
            environment_facts(provenance.environment.facts) if provenance.environment else {}
        ),
    }
    return {
        card: {title_of(name): value for name, value in facts.items()}
        for card, facts in cards.items()
        if facts
    }


def _artifact(provenance: Provenance) -> dict[str, Any]:
    artifact, weights = provenance.artifact, provenance.weights
    if provenance.imported is not None:
        return _imported(provenance.imported)
    if artifact is None:
        return {}
    build = artifact.manifest.get("build") or {}
    return {
        "model_id": artifact.model_id,
        "precision": artifact.precision,
        "execution": _execution(build),
        "quantized before import": _quantized(artifact.manifest.get("quantised")),
        "target": _target(build.get("quantization") or {}),
        "calibration": _calibration(build.get("calibration")),
        "accuracy constraint": bound_told((build.get("quantization") or {}).get("bound")),
        "overflow check": _overflow_check(build.get("half")),
        "fp16 vs fp32": _fp16_agreement(build.get("half")),
        "artifact SHA-256": short(artifact.digest),
        "size_mb": size(artifact.size_bytes),
        "weights_kind": artifact.weights_kind,
        "weights_digest": short(artifact.weights_digest),
        "weights source": weights.origin if weights else None,
        "weights set": artifact.manifest.get(artifacts.WEIGHTS_KEY),
        "compute_gmacs": _gmacs(artifact.manifest.get("compute") or {}),
        "import notes": " ".join(artifact.manifest.get(artifacts.NOTES, [])) or None,
    }


def _gmacs(compute: dict[str, Any]) -> str:
    counted = number(compute.get("gmacs"), 4)
    return f"{counted} ({compute['unknown']})" if compute.get("unknown") else counted


def _imported(build: ImportedBuild) -> dict[str, Any]:
    return {
        "model_id": build.model_id,
        "precision": build.precision,
        "imported from": build.source,
        **build.facts,
    }


def _execution(build: dict[str, Any]) -> str | None:
    kind, why = build.get("execution"), build.get("execution_why")
    return f"{kind}: {why}" if kind and why else kind


def _quantized(counts: dict[str, Any] | None) -> str | None:
    if not counts:
        return None
    return f"{counts['layers']} of {plural(counts['of'], 'layer')} of the file are quantized"


def _target(quantization: dict[str, Any]) -> str | None:
    target = quantization.get("target")
    return f"{target['summary']}: {target['why']}" if target else None


def _overflow_check(fp16: dict[str, Any] | None) -> str | None:
    if not fp16:
        return None
    checked = fp16["checked"]
    kept = f"{plural(len(fp16['kept_in_float']), 'node')} kept in float"
    if checked["dataset"] is None:
        return f"{checked['note']}; {kept}"
    return f"{checked['images']} images of {checked['dataset']}; {kept}"


def _fp16_agreement(fp16: dict[str, Any] | None) -> str | None:
    if not fp16:
        return None
    agreement = fp16["agreement"]
    return (
        f"top-1 agreement {agreement['same_class']} of {agreement['images']} images, logits SQNR "
        f"{agreement['signal_db']:.0f} dB, with every stored value rounded to fp16"
    )


def _calibration(facts: dict[str, Any] | None) -> str | None:
    if not facts:
        return None
    text = f"{facts['mode']}, {facts['images']:,} images of {facts['dataset']}"
    requested = facts.get("images_asked", facts["images"])
    return text if requested == facts["images"] else f"{text} ({requested:,} requested)"


def _accuracy(provenance: Provenance) -> dict[str, Any]:
    row = provenance.evaluation
    if row is None:
        return {}
    return {
        "top1": _count(row.top1_count, row.images),
        "top5": _count(row.top5_count, row.images),
        "partial": _partial(row),
        "overlap with the calibration set": seen_sentence(row.protocol),
        "label_set": None if row.label_set == "dataset" else row.label_set,
        "imported from": row.protocol.get("imported_from"),
        "dataset": row.dataset_name,
        "dataset SHA-256": short(row.dataset_digest),
        "images_in_dataset": f"{row.images_in_dataset:,}",
        "preprocess": _preprocess(row.preprocess),
        "class mapping": row.protocol.get(CLASS_MATCHING),
        "scoring": row.protocol.get("scoring"),
        "batch": row.protocol.get("batch"),
        "provider": row.protocol.get("provider"),
        "evaluation_id": row.id,
    }


def _count(count: int | None, images: int) -> str | None:
    return None if count is None else f"{count:,} of {images:,}"


def _partial(row: Evaluation) -> str | None:
    if row.images_planned is None or row.images == row.images_planned:
        return None
    return f"the first {row.images:,} of {row.images_planned:,} images"


def _preprocess(plain: dict[str, Any] | None) -> str:
    if plain is None:
        return NOT_STATED
    try:
        return PreprocessSpec.from_dict(plain).summary()
    except WorkbenchError as error:
        return str(error)


def _speed(provenance: Provenance) -> dict[str, Any]:
    row = provenance.benchmark
    if row is None:
        return {}
    protocol = row.protocol
    if row.imported_digest is not None:
        return _imported_speed(row)
    range_text = f"{number(row.images_per_s_low)} to {number(row.images_per_s_high)}"
    return {
        "images_per_s": number(row.images_per_s)
        + ("" if row.images_per_s_low is None else f" ({range_text} over the reported windows)"),
        "achieved_gmacs_per_s": _achieved(row, provenance.peak_gmacs_per_s),
        "p50 / p90 / p99": _latencies(row),
        "scenario": label_of(protocol.get("scenario")),
        "verdict": verdict_of(protocol.get("scenario")),
        **_scenario_facts(protocol.get("scenario") or {}),
        "stable": _stable(row),
        "noise": "; ".join(protocol.get("noise") or []) or None,
        "samples": f"{row.samples:,}",
        "windows": f"{protocol.get('windows')} of {protocol.get('window_s')} s",
        "warm-up": duration(protocol.get("warm_up_s")),
        "batch, threads, concurrency": f"{row.batch}, {row.threads}, {row.instances}",
        "processes": protocol.get("processes", 1),
        "provider": row.provider,
        "nodes by provider": _nodes(protocol.get("nodes")),
        "runtime": row.runtime,
        "other_busy_cores": number(row.other_busy_cores, 2),
        "load average before": number(protocol.get("load_1min_before"), 2),
        **_machine_state(protocol.get("during") or {}),
        "benchmark_id": row.id,
    }


def _stable(row: Benchmark) -> str | None:
    """None if the benchmark did not compare windows."""
    if row.stable is None:
        return None
    return "yes" if row.stable else "no: the last measured windows differ"


def _scenario_facts(scenario: dict[str, Any]) -> dict[str, Any]:
    """Facts that only some scenarios have."""
    facts: dict[str, Any] = {}
    if scenario.get("p90_estimate_ms"):
        facts["p90, MLPerf estimate"] = f"{number(scenario['p90_estimate_ms'], 2)} ms"
    if "rate_per_s" in scenario:
        facts["arrivals"] = f"{number(scenario['rate_per_s'])} requests/s, seed {scenario['seed']}"
    if len(scenario.get("tried") or []) > 1:
        facts["rates tried (requests/s)"] = ", ".join(
            f"{number(trial['rate_per_s'])} {'valid' if trial['valid'] else 'invalid'}"
            for trial in scenario["tried"]
        )
    return facts


def _nodes(counts: dict[str, int] | None) -> str:
    if not counts:
        return "not reported by this runtime"
    return ", ".join(f"{count:,} on {provider}" for provider, count in counts.items())


def _machine_state(during: dict[str, Any]) -> dict[str, Any]:
    """Load, clock and other processes during the measured windows."""
    if not during:
        return {}
    low, median, high = during.get("mhz") or (None, None, None)
    clock_range = f" ({number(low, 0)} to {number(high, 0)})" if low != high else ""
    clock = f"{number(median, 0)} MHz{clock_range}"
    return {
        "load average after": number(during["load_1min"][1], 2),
        "CPU clock": clock if median is not None else "not reported by this system",
        "busiest other processes (cores)": ", ".join(
            f"{name} {cores:.2f}" for name, cores in during["others"]
        )
        or "none",
        "monitor overhead": f"{100 * during['watching_cores']:.2f} % of a core",
    }


def _latencies(row: Benchmark) -> str:
    if row.latency_p50_ms is None:
        return "none: this scenario has no latency per request"
    return " / ".join(
        f"{number(value, 2)} ms" if not is_missing(value) else "withheld: fewer than 100 requests"
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
        "images_per_s": f"{number(row.images_per_s)} (imported, not measured here)",
        "p50 / p90 / p99": " / ".join(
            f"{number(value, 2)} ms" if not is_missing(value) else NOT_STATED
            for value in (row.latency_p50_ms, row.latency_p90_ms, row.latency_p99_ms)
        ),
        "batch, threads, concurrency": f"{row.batch}, {row.threads}, {row.instances}",
        "provider": row.provider,
        "runtime": row.runtime,
        "benchmark_id": row.id,
    }


def environment_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of a machine by name, library versions last."""
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
