"""Definition of each scenario, and the labels of its results.

Text only, so that pages can show it without a runtime. The scenarios follow MLPerf Inference
(rules, "Scenarios"; Reddi et al. 2020), with shorter runs than a submission requires; the results
are not MLPerf submissions.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.specs import BenchmarkSpec, Scenario
from engine.store.protocols import ScenarioFacts

CLOSED_LOOP = "closed loop"

DEFINITIONS = {
    "closed loop": "The default. Each request follows the previous one at once, with a constant "
    "number of requests in flight. Throughput is the maximum of the machine; latency is that "
    "under full load.",
    "single stream": "MLPerf SingleStream: one image at a time, the next after the previous one. "
    "The metric is the p90 latency. MLPerf's early-stopping estimate is an upper bound of the true "
    "p90 with 99 % confidence and needs 64 requests.",
    "offline": "MLPerf Offline: all samples are available at once. The metric is images/s from the "
    "query to the last answer, over three passes that agree. Latency is not reported.",
    "end to end": "Each request is an image file (a batch: several), from reading it to its "
    "scores: decode and resize, normalize, infer, with the preprocessing of an evaluation. Windows "
    "are passes over the same 64 files of a dataset, sampled by class; they come from the page "
    "cache, so a disk is not measured. Latency is that of the whole request; the time of each "
    "stage is in the provenance. Not a scenario of MLPerf.",
    "server": "MLPerf Server: requests arrive in a Poisson process (fixed seed) at a rate. Latency "
    "counts from the scheduled arrival. A run is valid when, with 99 % confidence, at most 1 % of "
    "all requests exceed the limit (MLPerf's early stopping; at least 459 requests). Without a "
    "rate, the highest valid rate is searched, in runs long enough for a queue to build up.",
}


def scenario_label(facts: ScenarioFacts | None) -> str:
    """The label of a result, from the `scenario` of its protocol (None: closed loop).

    Results with the same label are comparable.
    """
    if facts is None:
        return CLOSED_LOOP
    if facts.name == Scenario.END_TO_END:
        digest = f" ({facts.dataset_digest[:8]})" if facts.dataset_digest else ""
        return f"end to end on {facts.dataset}{digest}"
    if facts.name != Scenario.SERVER:
        return facts.name.replace("-", " ")
    rate = facts.asked_rate_per_s
    target = f"at {rate:g} requests/s" if rate else "highest rate"
    return f"server, {target}, p99 ≤ {facts.limit_ms or 0:g} ms"


def stages_text(stages_ms: Mapping[str, float]) -> str:
    """`decode and resize 6.10 ms (52 %), normalize ...`: the stages of a request, with shares."""
    total = sum(stages_ms.values())
    return ", ".join(f"{name} {ms:.2f} ms ({ms / total:.0%})" for name, ms in stages_ms.items())


def verdict_text(facts: ScenarioFacts | None) -> str | None:
    """`valid: REASON` or `invalid: REASON`; None for a scenario without a verdict."""
    if facts is None or facts.valid is None:
        return None
    return f"{'valid' if facts.valid else 'invalid'}: {facts.reason}"


def requested_label(spec: BenchmarkSpec) -> str:
    """The label that the result of this spec will have, without the digest of a dataset."""
    if spec.scenario == Scenario.CLOSED_LOOP:
        return CLOSED_LOOP
    return scenario_label(
        ScenarioFacts(
            name=str(spec.scenario),
            asked_rate_per_s=spec.rate_per_s,
            limit_ms=spec.limit_ms,
            dataset=spec.dataset,
        )
    )
