"""The provenance of a result as names and values: artifact, accuracy, speed, machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from db.models import Artifact, Benchmark, Environment, Evaluation, ImportedBuild, Weights
from db.session import reading
from engine.benchmark.machine_state import state_sentence
from engine.benchmark.placement import placement_text
from engine.benchmark.scenarios.definitions import scenario_label, stages_text, verdict_text
from engine.common.ratios import SpeedRatio
from engine.errors import WorkbenchError
from engine.evaluation.comparability import NOT_STATED
from engine.preprocess import PreprocessSpec
from engine.results.columns import title_of
from engine.results.faster import not_faster_words
from engine.results.speeds import speed_interval_text
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
    SpeedUp,
)
from engine.text import is_missing, number, plural, short, size


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
    manifest = BuildManifest.from_artifact(artifact)
    build, int8 = manifest.build, manifest.build.quantization or Int8Build()
    return {
        "model_id": artifact.model_id,
        "precision": artifact.precision,
        "execution": _execution(build),
        "quantized before import": _quantized(manifest.quantized),
        "target": _target(int8.target),
        "calibration": _calibration(build.calibration),
        "accuracy constraint": int8.bound.sentence() if int8.bound is not None else None,
        "merged groups": int8.merged_groups.sentence() if int8.merged_groups is not None else None,
        "overflow check": _overflow_check(build.half),
        "fp16 vs fp32": _fp16_agreement(build.half),
        "artifact SHA-256": short(artifact.digest),
        "size_mb": size(artifact.size_bytes),
        "weights_kind": artifact.weights_kind,
        "weights_digest": short(artifact.weights_digest),
        "weights source": weights.origin if weights else None,
        "weights set": manifest.weights_key,
        "compute_gmacs": _gmacs(manifest.compute),
        "import notes": " ".join(manifest.notes) or None,
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


def _execution(build: BuildDetails) -> str | None:
    kind, why = build.execution, build.execution_why
    return f"{kind}: {why}" if kind and why else kind


def _quantized(counts: Prequantized | None) -> str | None:
    if counts is None:
        return None
    return f"{counts.layers} of {plural(counts.of, 'layer')} of the file are quantized"


def _target(target: TargetFacts | None) -> str | None:
    return f"{target.summary}: {target.why}" if target is not None else None


def _overflow_check(fp16: Fp16Build | None) -> str | None:
    if fp16 is None:
        return None
    checked = fp16.checked
    float_nodes = f"{plural(len(fp16.kept_in_float), 'node')} in fp32"
    if checked.dataset is None:
        return f"{checked.note}; {float_nodes}"
    return f"{checked.images} images of {checked.dataset}; {float_nodes}"


def _fp16_agreement(fp16: Fp16Build | None) -> str | None:
    if fp16 is None:
        return None
    agreement = fp16.agreement
    return (
        f"top-1 agreement {agreement.same_class} of {agreement.images} images, logits SQNR "
        f"{agreement.signal_db:.0f} dB, with every stored value rounded to fp16"
    )


def _calibration(facts: CalibrationFacts | None) -> str | None:
    if facts is None:
        return None
    if facts.images_asked in (None, facts.images):
        return facts.summary
    return f"{facts.summary} ({facts.images_asked:,} requested)"


def _accuracy(provenance: Provenance) -> dict[str, Any]:
    row = provenance.evaluation
    if row is None:
        return {}
    protocol = EvaluationProtocol.from_row(row)
    return {
        "top1": _count(row.top1_count, row.images),
        "top5": _count(row.top5_count, row.images),
        "partial": _partial(row),
        "overlap with the calibration set": protocol.overlap_text,
        "label_set": None if row.label_set == "dataset" else row.label_set,
        "imported from": protocol.imported_from,
        "dataset": row.dataset_name,
        "dataset SHA-256": short(row.dataset_digest),
        "images_in_dataset": f"{row.images_in_dataset:,}",
        "preprocess": _preprocess(row.preprocess),
        "class mapping": protocol.class_matching,
        "scoring": _scoring(protocol.scoring),
        "batch": protocol.batch,
        "runtime": protocol.runtime,
        "nodes by provider": _nodes(protocol.nodes) if protocol.nodes else None,
        "provider": protocol.provider,
        "evaluation_id": row.id,
    }


def _scoring(scoring: str | None) -> str | None:
    """The rule of scoring; evaluations of earlier versions stored it in other words."""
    earlier = "equal scores in the order of their index"
    return scoring.replace(earlier, "ties: lowest index") if scoring else None


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
    if row.imported_digest is not None:
        return _imported_speed(row)
    protocol = BenchmarkProtocol.from_row(row)
    range_text = f"{number(row.images_per_s_low)} to {number(row.images_per_s_high)}"
    range_name = "95 % interval between rounds " if protocol.session else "slowest to fastest "
    return {
        "images_per_s": number(row.images_per_s)
        + ("" if row.images_per_s_low is None else f" ({range_name}{range_text})"),
        "speed_up": _speed_up(protocol.speed_up),
        "achieved_gmacs_per_s": _achieved(row, provenance.peak_gmacs_per_s),
        "p50 / p90 / p99": _latencies(row),
        **_latency_intervals(protocol),
        "scenario": scenario_label(protocol.scenario),
        "verdict": verdict_text(protocol.scenario),
        **_scenario_facts(protocol.scenario or ScenarioFacts()),
        "stable": _stable(row),
        "noise": protocol.interference_text,
        "samples": f"{row.samples:,}",
        **_windows(protocol),
        "machine_state": state_sentence(protocol.machine),
        "machine's own speed": _speedometer(protocol),
        "warm-up": f"{number(protocol.warm_up_s, 1)} s",
        "batch, threads, concurrency": f"{row.batch}, {row.threads}, {row.instances}",
        "processes": protocol.processes,
        "provider": row.provider,
        "nodes by provider": _nodes(protocol.nodes),
        "runtime": row.runtime,
        **{f"runtime: {name}": text for name, text in (protocol.runtime_settings or {}).items()},
        "other_busy_cores": number(row.other_busy_cores, 2),
        "load average before": number(protocol.load_1min_before, 2),
        **_machine_state(protocol.during),
        "benchmark_id": row.id,
    }


def _stable(row: Benchmark) -> str | None:
    """None if the benchmark did not compare windows."""
    if row.stable is None:
        return None
    return "yes" if row.stable else "no: the rounds differ"


def _speed_up(found: SpeedUp | None) -> str | None:
    if found is None:
        return None
    ratio = SpeedRatio(found.ratio, found.low, found.high, found.p_value, found.rounds, paired=True)
    rounds = plural(found.rounds, "round")
    mark = f": {not_faster_words(found.ratio)}" if found.low is not None and found.low <= 1 else ""
    return f"{number(found.ratio, 2)} × ({speed_interval_text(ratio)}, {rounds}){mark}"


def _latency_intervals(protocol: BenchmarkProtocol) -> dict[str, str]:
    """95 % intervals of the percentiles between rounds; nothing for earlier versions."""
    parts = [
        f"{name} {number(low, 2)} to {number(high, 2)}"
        for name in ("p50", "p90", "p99")
        for low, high in [protocol.intervals.get(f"latency_{name}_ms", (None, None))]
        if low is not None
    ]
    return {"95 % intervals between rounds (ms)": ", ".join(parts)} if parts else {}


def _windows(protocol: BenchmarkProtocol) -> dict[str, str]:
    if not protocol.session:
        return {"windows": f"{protocol.windows} of {protocol.window_s} s"}
    launches = len({one.launch for one in protocol.rounds})
    restarts = f", {plural(launches, 'start')} of the processes" if launches > 1 else ""
    return {
        "rounds": f"{len(protocol.rounds)}, a window of {protocol.window_s} s in each{restarts}",
        "session": protocol.session[:12],
    }


def _speedometer(protocol: BenchmarkProtocol) -> str | None:
    """The readings of the speedometer; None where there were none."""
    state = protocol.speedometer
    if state is None:
        return None
    text = state_sentence(state, "GFLOP/s")
    return text or f"no two speeds, no drift: {number(state.low)} to {number(state.high)} GFLOP/s"


def _scenario_facts(scenario: ScenarioFacts) -> dict[str, Any]:
    """Facts that only some scenarios have."""
    facts: dict[str, Any] = {}
    if scenario.p90_estimate_ms:
        facts["p90, MLPerf estimate"] = f"{number(scenario.p90_estimate_ms, 2)} ms"
    if scenario.rate_per_s is not None:
        facts["arrivals"] = f"{number(scenario.rate_per_s)} requests/s, seed {scenario.seed}"
    if scenario.stages_ms:
        facts["mean time by stage"] = stages_text(scenario.stages_ms)
        facts["files sent"] = f"{scenario.files:,} of {scenario.dataset}, over and over"
    if len(scenario.tried) > 1:
        facts["rates tried (requests/s)"] = ", ".join(
            f"{number(trial.rate_per_s)} {'valid' if trial.valid else 'invalid'}"
            for trial in scenario.tried
        )
    return facts


def _nodes(counts: dict[str, int] | None) -> str:
    if not counts:
        return "not reported by this runtime"
    arithmetic = placement_text(counts)
    if arithmetic is not None:
        return arithmetic
    return ", ".join(f"{count:,} on {provider}" for provider, count in counts.items())


def _machine_state(during: Interference | None) -> dict[str, Any]:
    """Load, clock and other processes during the measured windows."""
    if during is None:
        return {}
    low, median, high = during.mhz or (None, None, None)
    clock_range = f" ({number(low, 0)} to {number(high, 0)})" if low != high else ""
    clock = f"{number(median, 0)} MHz{clock_range}"
    return {
        "load average after": number(during.load_1min[1] if during.load_1min else None, 2),
        "CPU clock": clock if median is not None else "not reported by this system",
        "busiest other processes (cores)": ", ".join(
            f"{name} {cores:.2f}" for name, cores in during.others
        )
        or "none",
        "monitor overhead": f"{100 * during.watching_cores:.2f} % of a core",
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
