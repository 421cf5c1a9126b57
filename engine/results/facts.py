"""What made a result, as names and values for people: artifact, accuracy, speed, machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from db.models import Artifact, Benchmark, Environment, Evaluation, ImportedBuild, Weights
from db.session import reading
from engine.benchmark.scenarios.definitions import scenario_label, verdict_text
from engine.errors import WorkbenchError
from engine.evaluation.comparability import NOT_STATED
from engine.preprocess import PreprocessSpec
from engine.results.columns import title_of
from engine.store.int8_report import Int8Build, TargetFacts
from engine.store.manifest import (
    BuildDetails,
    BuildManifest,
    CalibrationFacts,
    Compute,
    Fp16Build,
    Prequantized,
)
from engine.store.protocols import (
    BenchmarkProtocol,
    EvaluationProtocol,
    Interference,
    ScenarioFacts,
)
from engine.text import duration, is_missing, number, plural, short, size


@dataclass(frozen=True, slots=True)
class Provenance:
    """All the rows behind one line of results; each is None where there is none."""

    artifact: Artifact | None
    imported: ImportedBuild | None
    weights: Weights | None
    evaluation: Evaluation | None
    benchmark: Benchmark | None
    environment: Environment | None
    peak_gmacs_per_s: float | None = None


def provenance_of(
    url: str,
    artifact_digest: str,
    evaluation_id: int | None,
    benchmark_id: int | None,
    peak_gmacs_per_s: float | None = None,
) -> Provenance:
    """The rows behind a result; the peak (GMAC/s) is the one its speed is held against."""
    with reading(url) as session:
        artifact = session.get(Artifact, artifact_digest)
        imported = session.get(ImportedBuild, artifact_digest)
        weights = session.get(Weights, artifact.weights_digest) if artifact else None
        evaluation = session.get(Evaluation, evaluation_id) if evaluation_id else None
        benchmark = session.get(Benchmark, benchmark_id) if benchmark_id else None
        measured = benchmark or evaluation
        machine = measured.environment_digest if measured else None
        environment = session.get(Environment, machine) if machine else None
    return Provenance(
        artifact, imported, weights, evaluation, benchmark, environment, peak_gmacs_per_s
    )


def cards_of(found: Provenance) -> dict[str, dict[str, Any]]:
    """Everything that made a result, by card; a card without facts is left out.

    Facts are named by keys of the results table, or in words of their own.
    """
    cards = {
        "Artifact": _artifact(found),
        "Accuracy": _accuracy(found),
        "Speed": _speed(found),
        "Machine": environment_facts(found.environment.facts) if found.environment else {},
    }
    return {
        card: {title_of(name): value for name, value in facts.items()}
        for card, facts in cards.items()
        if facts
    }


def _artifact(found: Provenance) -> dict[str, Any]:
    """Names and values of the card on a build; empty where there is none."""
    artifact, weights = found.artifact, found.weights
    if found.imported is not None:
        return _imported(found.imported)
    if artifact is None:
        return {}
    manifest = BuildManifest.from_artifact(artifact)
    made, int8 = manifest.build, manifest.build.quantization or Int8Build()
    return {
        "model_id": artifact.model_id,
        "precision": artifact.precision,
        "execution": _execution(made),
        "quantized already": _quantized(manifest.quantized),
        "target": _target(int8.target),
        "calibration": _calibration(made.calibration),
        "bound on the drop": int8.bound.sentence() if int8.bound is not None else None,
        "range-checked on": _range_check(made.half),
        "fp16 against fp32": _half_agreement(made.half),
        "artifact SHA-256": short(artifact.digest),
        "size_mb": size(artifact.size_bytes),
        "weights_kind": artifact.weights_kind,
        "weights_digest": short(artifact.weights_digest),
        "weights from": weights.origin if weights else None,
        "set of weights": manifest.weights_key,
        "compute_gmacs": _gmacs(manifest.compute),
        "taken in": " ".join(manifest.notes) or None,
    }


def _gmacs(compute: Compute) -> str:
    counted = number(compute.gmacs, 4)
    return f"{counted} ({compute.unknown})" if compute.unknown else counted


def _imported(build: ImportedBuild) -> dict[str, Any]:
    return {
        "model_id": build.model_id,
        "precision": build.precision,
        "imported from": build.source,
        **build.facts,
    }


def _execution(made: BuildDetails) -> str | None:
    kind, why = made.execution, made.execution_why
    return f"{kind}: {why}" if kind and why else kind


def _quantized(found: Prequantized | None) -> str | None:
    if found is None:
        return None
    return f"{found.layers} of {plural(found.of, 'layer')} of the file are in integers"


def _target(target: TargetFacts | None) -> str | None:
    return f"{target.summary}: {target.why}" if target is not None else None


def _range_check(made: Fp16Build | None) -> str | None:
    if made is None:
        return None
    checked = made.checked
    kept = f"{plural(len(made.kept_in_float), 'node')} kept in float"
    if checked.dataset is None:
        return f"{checked.note}; {kept}"
    return f"{checked.images} images of {checked.dataset}; {kept}"


def _half_agreement(made: Fp16Build | None) -> str | None:
    if made is None:
        return None
    found = made.agreement
    return (
        f"same class on {found.same_class} of {found.images} images, "
        f"{found.signal_db:.0f} dB of signal, with every stored value rounded"
    )


def _calibration(made: CalibrationFacts | None) -> str | None:
    if made is None:
        return None
    if made.images_asked in (None, made.images):
        return made.summary
    return f"{made.summary} ({made.images_asked:,} were asked)"


def _accuracy(found: Provenance) -> dict[str, Any]:
    row = found.evaluation
    if row is None:
        return {}
    protocol = EvaluationProtocol.from_row(row)
    return {
        "top1": _count(row.top1_count, row.images),
        "top5": _count(row.top5_count, row.images),
        "partial": _partial(row),
        "seen by the build before": protocol.overlap_text,
        "label_set": None if row.label_set == "dataset" else row.label_set,
        "imported from": protocol.imported_from,
        "dataset": row.dataset_name,
        "dataset SHA-256": short(row.dataset_digest),
        "images_in_dataset": f"{row.images_in_dataset:,}",
        "preprocess": _preprocess(row.preprocess),
        "classes": protocol.class_matching,
        "scoring": protocol.scoring,
        "batch": protocol.batch,
        "provider": protocol.provider,
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


def _speed(found: Provenance) -> dict[str, Any]:
    row = found.benchmark
    if row is None:
        return {}
    if row.imported_digest is not None:
        return _imported_speed(row)
    protocol = BenchmarkProtocol.from_row(row)
    range_text = f"{number(row.images_per_s_low)} to {number(row.images_per_s_high)}"
    return {
        "images_per_s": number(row.images_per_s)
        + ("" if row.images_per_s_low is None else f" ({range_text} over the reported windows)"),
        "achieved_gmacs_per_s": _achieved(row, found.peak_gmacs_per_s),
        "p50 / p90 / p99": _latencies(row),
        "scenario": scenario_label(protocol.scenario),
        "verdict": verdict_text(protocol.scenario),
        **_scenario_facts(protocol.scenario or ScenarioFacts()),
        "stable": _stable(row),
        "noise": protocol.interference_text,
        "samples": f"{row.samples:,}",
        "windows": f"{protocol.windows} of {protocol.window_s} s",
        "warm-up": duration(protocol.warm_up_s),
        "batch, threads, in flight": f"{row.batch}, {row.threads}, {row.instances}",
        "processes": protocol.processes,
        "provider": row.provider,
        "nodes by provider": _nodes(protocol.nodes),
        "runtime": row.runtime,
        "other_busy_cores": number(row.other_busy_cores, 2),
        "load before": number(protocol.load_1min_before, 2),
        **_during(protocol.during),
        "benchmark_id": row.id,
    }


def _stable(row: Benchmark) -> str | None:
    """Only where windows were held against each other."""
    if row.stable is None:
        return None
    return "yes" if row.stable else "no: the last windows did not agree"


def _scenario_facts(scenario: ScenarioFacts) -> dict[str, Any]:
    """Facts that only one scenario has."""
    facts: dict[str, Any] = {}
    if scenario.p90_estimate_ms:
        facts["p90, MLPerf's estimate"] = f"{number(scenario.p90_estimate_ms, 2)} ms"
    if scenario.rate_per_s is not None:
        facts["arrivals"] = f"{number(scenario.rate_per_s)} requests/s, seed {scenario.seed}"
    if len(scenario.tried) > 1:
        facts["rates tried"] = ", ".join(
            f"{number(rate.rate_per_s)} {'valid' if rate.valid else 'invalid'}"
            for rate in scenario.tried
        )
    return facts


def _nodes(counts: dict[str, int] | None) -> str:
    if not counts:
        return "not told by this runtime"
    return ", ".join(f"{count:,} on {provider}" for provider, count in counts.items())


def _during(seen: Interference | None) -> dict[str, Any]:
    """What the machine did while the windows were taken."""
    if seen is None:
        return {}
    low, middle, high = seen.mhz or (None, None, None)
    moved = f" ({number(low, 0)} to {number(high, 0)})" if low != high else ""
    clock = f"{number(middle, 0)} MHz{moved}"
    return {
        "load after": number(seen.load_1min[1] if seen.load_1min else None, 2),
        "clock meanwhile": clock if middle is not None else "not told by this system",
        "busiest others": ", ".join(f"{name} {cores:.2f}" for name, cores in seen.others) or "none",
        "watching cost": f"{100 * seen.watching_cores:.2f} % of a core",
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
        "images_per_s": f"{number(row.images_per_s)} (imported, not measured here)",
        "p50 / p90 / p99": " / ".join(
            f"{number(value, 2)} ms" if not is_missing(value) else NOT_STATED
            for value in (row.latency_p50_ms, row.latency_p90_ms, row.latency_p99_ms)
        ),
        "batch, threads, in flight": f"{row.batch}, {row.threads}, {row.instances}",
        "provider": row.provider,
        "runtime": row.runtime,
        "benchmark_id": row.id,
    }


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
