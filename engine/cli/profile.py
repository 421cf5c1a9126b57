"""`profile`: where the time of one inference goes, operator by operator."""

from __future__ import annotations

from typing import Annotated

import typer

from db.enums import JobStatus
from engine.cli import option_groups as g
from engine.cli import options as o
from engine.cli.follow import finish_job, finish_run, submit_noting
from engine.cli.option_grouping import grouped
from engine.cli.output import emit_json, emit_table, note
from engine.cli.parsing import is_digest
from engine.common.untrusted import MAX_INTEGER
from engine.jobs.results import JobResult
from engine.profiling.records import Profile, load_profiles
from engine.profiling.summary import slowest_nodes, sum_times, times_by_operator
from engine.runs.compile import profile_job
from engine.runs.request import RunRequest, Task
from engine.specs import CPU_PROVIDER, ProfileSpec
from engine.store import artifacts
from engine.store.database import prepare_database


@grouped
def profile(
    target: o.Target,
    *,
    builds: g.Builds,
    calibrate_on: o.CalibrationSet = None,
    batch: Annotated[int, o.option("batches")] = 1,
    threads: Annotated[int, o.option("threads")] = 0,
    provider: o.Provider = CPU_PROVIDER,
    most: Annotated[
        int, typer.Option(min=1, max=MAX_INTEGER, help="So many of the slowest nodes.")
    ] = 10,
    json: o.Json = False,
) -> int:
    """Shows what takes the time of an inference: by operator, SE blocks apart, conversions apart.

    Example: `python -m engine profile timm/seresnet50 --weights random -p int8`
    """
    if is_digest(target):
        artifact = artifacts.find_by_digest(target, prepare_database())
        spec = ProfileSpec(
            artifact=artifact.digest, batch=batch, threads=threads, provider=provider
        )
        jobs = [finish_job(profile_job(spec))]
    else:
        request = RunRequest(
            model_id=target,
            **builds.asked(),
            tasks=(Task.PROFILE,),
            calibration_dataset=calibrate_on,
            batches=(batch,),
            threads=(threads,),
            provider=provider,
        )
        jobs = finish_run(submit_noting(request))
    results = [JobResult.from_stored(job.result) for job in jobs]
    profiles = [_made_by(result, result.profile) for result in results if result.profile]
    if json:
        emit_json([one.dump() for one in profiles])
    else:
        for one in profiles:
            _show(one, most)
    return 0 if all(job.status == JobStatus.SUCCEEDED for job in jobs) else 1


def _made_by(result: JobResult, artifact: str) -> Profile:
    """The profile that a job has just written."""
    setting = (result.batch, result.threads)
    return next(one for one in load_profiles(artifact) if (one.batch, one.threads) == setting)


def _show(found: Profile, most: int) -> None:
    sums = sum_times(found.nodes)
    emit_table(
        f"{found.model_id} {found.precision}, batch {found.batch}, threads "
        f"{found.threads}: where the time goes",
        ("operator", "nodes", "ms", "% of all", "ms in SE blocks", "only converts"),
        [
            (row["op"], row["nodes"], row["ms"], 100 * row["share"], row["se_ms"], row["inserted"])
            for row in times_by_operator(found.nodes).to_dict("records")
        ],
    )
    emit_table(
        f"The {most} slowest nodes",
        ("node", "operator", "ms", "% of all", "output", "SE block"),
        [
            (
                node.name,
                node.op,
                node.ms,
                100 * node.ms / sums.nodes_ms,
                " x ".join(str(size) for size in node.output),
                node.se_block,
            )
            for node in slowest_nodes(found.nodes, most)
        ],
    )
    note(
        f"{sums.se_blocks} SE blocks: {sums.se_ms:.2f} ms, {sums.se_ms / sums.nodes_ms:.1%}. "
        f"Inserted conversions: {sums.inserted_ms:.2f} ms, {sums.inserted_ms / sums.nodes_ms:.1%}"
        + (f" ({sums.inserted_in_se_ms:.2f} ms of it in SE blocks)." if sums.se_blocks else ".")
    )
    note(
        f"All nodes: {sums.nodes_ms:.2f} ms, {sums.nodes_ms / found.wall_ms:.1%} of the "
        f"{found.wall_ms:.2f} ms that a run took under the profiler, and "
        f"{sums.nodes_ms / found.latency_ms:.1%} of the {found.latency_ms:.2f} ms that it "
        f"takes without."
    )
    for reason in found.noise:
        note(f"Noisy: {reason}.")
