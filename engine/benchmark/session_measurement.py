"""Measuring builds in one session: processes, speedometer, checkpoint, and the result rows."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import psutil

from db.enums import Precision
from db.session import writing
from engine.benchmark.checkpoint import SessionCheckpoint
from engine.benchmark.interference import InterferenceMonitor, merge_summaries
from engine.benchmark.metrics import FRESH_WARM_UP_S, Outcome, session_outcome
from engine.benchmark.processes import ProcessGroup, preload
from engine.benchmark.rows import SessionBuild, benchmark_row
from engine.benchmark.session import SessionRecord, SessionRules, run_rounds
from engine.benchmark.speedometer import SETTLE_S, Speedometer
from engine.benchmark.windows import Window
from engine.common.digests import data_digest
from engine.common.environment import MachineFacts
from engine.common.error_sentences import explain
from engine.jobs.context import JobContext
from engine.specs import SessionSpec
from engine.store.protocols import SpeedUp
from engine.text import plural

RESERVED_MEMORY = 0.15
"""Share of the machine's memory that stays free."""
NAMED_IN_PROGRESS = 4


@dataclass(slots=True)
class MeasuredSession:
    """The ids of the stored benchmarks, and one sentence for each build that failed."""

    benchmarks: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class TurnTaker:
    """One loaded build of a session; `take` measures one window.

    Every turn but the first begins with fresh processes, because two starts of one build may
    differ, which rounds of the same processes would never show. `waited_s`, `waited_cpu_s`: time
    between its windows, and the CPU time it used in that time.
    """

    def __init__(self, build: SessionBuild) -> None:
        """Starts the processes. Raises BenchmarkFailed, and the errors of the runtime."""
        self.build = build
        self.processes = ProcessGroup(build.process_configs())
        self.waited_s = self.waited_cpu_s = 0.0
        self._settled: tuple[float, float] | None = None

    def take(self, seconds: float) -> Window:
        """One window, followed by a pause in which the threads settle."""
        if self._settled is not None:
            at_s, cpu_s = self._settled
            self.waited_s += time.monotonic() - at_s
            self.waited_cpu_s += max(0.0, self.processes.cpu_time_s() - cpu_s)
            self.processes.restart()
        window = self.processes.measure_window(seconds, min(FRESH_WARM_UP_S, seconds))
        time.sleep(SETTLE_S)
        self._settled = time.monotonic(), self.processes.cpu_time_s()
        return window

    @property
    def waiting_cores(self) -> float:
        """Cores that the build used while it waited."""
        return self.waited_cpu_s / self.waited_s if self.waited_s else 0.0


def measure_session(
    builds: Sequence[SessionBuild],
    spec: SessionSpec,
    surroundings: MachineFacts,
    context: JobContext,
) -> MeasuredSession:
    """Measures all builds and stores one row each.

    Where they do not fit into memory together, they are measured in several sessions; ratios are
    then paired within each.
    """
    preload(build.spec.runtime for build in builds)
    measured = MeasuredSession()
    waiting = list(builds)
    while waiting:
        with ExitStack() as stack:
            takers = _load(waiting, measured.failures, stack, context)
            waiting = waiting[len(takers) :]
            loaded = {key: taker for key, taker in enumerate(takers) if taker is not None}
            if loaded:
                _measure(loaded, spec, surroundings, context, measured)
    return measured


def _load(
    builds: Sequence[SessionBuild],
    failures: list[str],
    stack: ExitStack,
    context: JobContext,
) -> list[TurnTaker | None]:
    """Loads the builds that fit into memory; None for one that cannot be loaded."""
    takers: list[TurnTaker | None] = []
    reserve = RESERVED_MEMORY * psutil.virtual_memory().total
    largest = 0.0
    for number, build in enumerate(builds, 1):
        free = psutil.virtual_memory().available
        if takers and free - largest < reserve:
            context.say(
                f"{plural(len(builds) - number + 1, 'build')} of {len(builds)} do not fit into "
                "memory beside the others and are measured in another session."
            )
            break
        context.progress(number - 1, len(builds), "builds", f"Loading {build.label}.")
        try:
            taker = TurnTaker(build)
        except Exception as error:
            failures.append(_failure(build, explain(error)))
            takers.append(None)
            continue
        stack.enter_context(taker.processes)
        takers.append(taker)
        largest = max(largest, free - psutil.virtual_memory().available)
    return takers


def _failure(build: SessionBuild, reason: str) -> str:
    return f"{build.artifact.model_id} {build.label}: {reason}"


def _measure(
    takers: dict[int, TurnTaker],
    spec: SessionSpec,
    surroundings: MachineFacts,
    context: JobContext,
    measured: MeasuredSession,
) -> None:
    """One session over loaded builds; adds its rows and failures to `measured`."""
    rules = _rules(spec, [taker.build for taker in takers.values()])
    checkpoint = SessionCheckpoint.load(_key(takers, spec, surroundings))
    record = checkpoint.record
    if record.rounds:
        context.say(f"Continuing after {plural(record.rounds, 'round')} of an earlier attempt.")
    record.launches += 1
    record.failures.clear()
    context.stage(_stage_text(takers))
    with Speedometer() as speedometer:
        monitor = InterferenceMonitor(lambda: _own_cpu_s(takers, speedometer))

        def after_round(state: SessionRecord) -> None:
            checkpoint.save(monitor.summary())
            _report(state, takers, rules, context)

        with monitor:
            run_rounds(
                {key: taker.take for key, taker in takers.items()},
                rules,
                record,
                read_speed=speedometer.read,
                after_round=after_round,
            )
    observed = merge_summaries([*checkpoint.interference, monitor.summary()])
    for key, reason in record.failures.items():
        measured.failures.append(_failure(takers[key].build, reason))
    rows = [
        benchmark_row(
            takers[key].build,
            outcome,
            takers[key].processes,
            observed,
            surroundings,
            context,
            number=number,
        )
        for number, (key, outcome) in enumerate(
            _outcomes(takers, checkpoint), len(measured.benchmarks)
        )
    ]
    with writing(context.url) as session:
        session.add_all(rows)
        session.flush()
        measured.benchmarks += [row.id for row in rows]
    checkpoint.remove()


def _outcomes(
    takers: dict[int, TurnTaker], checkpoint: SessionCheckpoint
) -> Iterator[tuple[int, Outcome]]:
    """The result of each build that did not fail, with its key."""
    record = checkpoint.record
    for key, taker in takers.items():
        turns = record.turns.get(key)
        if key in record.failures or not turns:
            continue
        yield (
            key,
            session_outcome(
                turns,
                taker.build.artifact,
                taker.build.spec,
                session=checkpoint.session,
                waiting_cores=taker.waiting_cores,
                speed_up=_speed_up(key, takers, record),
            ),
        )


def _speed_up(key: int, takers: dict[int, TurnTaker], record: SessionRecord) -> SpeedUp | None:
    """The ratio to fp32 of the same model under the same conditions; None without such a build."""
    own = takers[key].build
    for other, taker in takers.items():
        build = taker.build
        if (
            build.artifact.precision == Precision.FP32
            and other not in {key, *record.failures}
            and build.artifact.model_id == own.artifact.model_id
            and build.artifact.weights_digest == own.artifact.weights_digest
            and build.identity[1:] == own.identity[1:]
        ):
            ratio = record.ratio(key, other)
            if ratio is None:
                return None
            return SpeedUp(
                ratio=ratio.ratio,
                low=ratio.low,
                high=ratio.high,
                p_value=ratio.p_value,
                rounds=ratio.rounds,
                reference=build.artifact.digest,
            )
    return None


def _rules(spec: SessionSpec, builds: Sequence[SessionBuild]) -> SessionRules:
    first = builds[0].spec
    return SessionRules(
        window_s=first.window_s,
        max_s=sum(build.spec.max_s for build in builds),
        ratio_tolerance=spec.ratio_tolerance,
        tolerance=first.tolerance,
        least_images=max(build.spec.least_samples * build.spec.processes for build in builds),
        seed=spec.seed,
    )


def _key(takers: dict[int, TurnTaker], spec: SessionSpec, surroundings: MachineFacts) -> str:
    """Digest of what is measured, on which machine: the name of the checkpoint."""
    builds = {str(key): list(taker.build.identity) for key, taker in takers.items()}
    return data_digest([builds, spec.seed, spec.ratio_tolerance, surroundings.digest])


def _stage_text(takers: dict[int, TurnTaker]) -> str:
    if len(takers) == 1:
        return f"Measuring {next(iter(takers.values())).build.label}."
    return f"Measuring {len(takers)} builds in turn, in rounds."


def _own_cpu_s(takers: dict[int, TurnTaker], speedometer: Speedometer) -> float:
    """CPU time of this process and of all that it started, in core seconds."""
    processes = sum(taker.processes.cpu_time_s() for taker in takers.values())
    return time.process_time() + speedometer.cpu_time_s() + processes


def _report(
    state: SessionRecord, takers: dict[int, TurnTaker], rules: SessionRules, context: JobContext
) -> None:
    """Shows the last rates and the widest interval of a ratio."""
    running = [key for key in takers if key not in state.failures]
    rates = [
        f"{takers[key].build.artifact.precision} {state.turns[key][-1].window.images_per_s:,.1f}"
        for key in running[:NAMED_IN_PROGRESS]
        if state.turns.get(key)
    ]
    more = (
        f" and {len(running) - NAMED_IN_PROGRESS} more" if len(running) > NAMED_IN_PROGRESS else ""
    )
    ratios = [state.ratio(key, running[0]) for key in running[1:]]
    widest = max((ratio.uncertainty for ratio in ratios if ratio), default=math.inf)
    precision = f", ratios within ± {100 * widest:.1f} %" if math.isfinite(widest) else ""
    total = max(round(rules.max_s), round(state.spent_s) + 1)
    context.progress(
        round(state.spent_s),
        total,
        "s max",
        f"round {state.rounds}: {', '.join(rates)}{more} images/s{precision}",
    )
