"""Definition of each scenario, and the labels of its results.

Text only, so that pages can show it without a runtime. The scenarios follow MLPerf Inference
(rules, "Scenarios"; Reddi et al. 2020), with shorter runs than a submission requires; the results
are not MLPerf submissions.
"""

from __future__ import annotations

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
    if facts.name != Scenario.SERVER:
        return facts.name.replace("-", " ")
    rate = facts.asked_rate_per_s
    target = f"at {rate:g} requests/s" if rate else "highest rate"
    return f"server, {target}, p99 ≤ {facts.limit_ms or 0:g} ms"


def verdict_text(facts: ScenarioFacts | None) -> str | None:
    """`valid: REASON` or `invalid: REASON`; None for a scenario without a verdict."""
    if facts is None or facts.valid is None:
        return None
    return f"{'valid' if facts.valid else 'invalid'}: {facts.reason}"


def requested_label(spec: BenchmarkSpec) -> str:
    """The label that the result of this spec will have."""
    if spec.scenario == Scenario.CLOSED_LOOP:
        return CLOSED_LOOP
    return scenario_label(
        ScenarioFacts(
            name=str(spec.scenario), asked_rate_per_s=spec.rate_per_s, limit_ms=spec.limit_ms
        )
    )
