"""The scenarios by name: what each means, and how a result of it is called.

Pure text, so that pages can show it without a runtime. The scenarios are those of MLPerf Inference
(rules, "Scenarios"; Reddi et al. 2020), in shorter runs than a submission needs: they are named
after them, they are not submissions.
"""

from __future__ import annotations

from engine.specs import BenchmarkSpec, Scenario
from engine.store.protocols import ScenarioFacts

CLOSED_LOOP = "closed loop"

DEFINITIONS = {
    "closed loop": "Each request follows the last one at once, so many in flight all the time: the "
    "usual benchmark here. Its throughput is what the machine can do; its latency is that of a "
    "machine that is kept busy.",
    "single stream": "MLPerf's SingleStream: one image at a time, the next when the last is done. "
    "The figure is the p90 of latency; beside it stands MLPerf's early-stopping estimate, which is "
    "over the true p90 with 99 % confidence and needs 64 requests.",
    "offline": "MLPerf's Offline: all samples are there at once. The figure is images/s from the "
    "query to the last answer, over three passes that agree; a latency has no meaning here.",
    "server": "MLPerf's Server: requests arrive by chance (Poisson, fixed seed) at a rate, and "
    "latency counts from when a request was due. Valid when so few of at least 459 requests were "
    "over the limit that, with 99 % confidence, at most 1 % of all are (MLPerf's early stopping). "
    "Without a rate, the highest valid one is searched, in runs that let the queue build up.",
}


def label_of(told: ScenarioFacts | None) -> str:
    """What a result is of, from its protocol's `scenario`: results of one label are comparable."""
    if told is None:
        return CLOSED_LOOP
    if told.name != Scenario.SERVER:
        return told.name.replace("-", " ")
    asked = told.asked_rate_per_s
    how = f"at {asked:g} requests/s" if asked else "highest rate"
    return f"server, {how}, p99 ≤ {told.limit_ms or 0:g} ms"


def verdict_of(told: ScenarioFacts | None) -> str | None:
    """`valid: ...` or `invalid: ...` with the reason; None where a scenario has no verdict."""
    if told is None or told.valid is None:
        return None
    return f"{'valid' if told.valid else 'invalid'}: {told.reason}"


def asked_label(spec: BenchmarkSpec) -> str:
    """The label that the result of a request will have."""
    if spec.scenario == Scenario.CLOSED_LOOP:
        return CLOSED_LOOP
    return label_of(
        ScenarioFacts(
            name=str(spec.scenario), asked_rate_per_s=spec.rate_per_s, limit_ms=spec.limit_ms
        )
    )
