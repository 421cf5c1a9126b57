"""`profile`: the time of an inference by operator."""

from __future__ import annotations

from typing import Annotated

import typer

from db.enums import JobStatus
from engine.cli import option_groups as g
from engine.cli import options as o
from engine.cli.follow import finish_job, finish_run, submit_with_warnings
from engine.cli.option_groups import expand_groups
from engine.cli.output import emit_json, emit_table, note
from engine.cli.parsing import is_digest, possible_runtimes
from engine.common.untrusted import MAX_INTEGER
from engine.jobs.results import JobResult
from engine.profiling.records import Profile, load_profiles
from engine.profiling.summary import slowest_nodes, sum_times, times_by_operator
from engine.runs.compile import profile_job
from engine.runs.request import RunRequest, Task
from engine.runtimes.registry import name_in
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME, ProfileSpec
from engine.store import artifacts
from engine.store.database import prepare_database


@expand_groups
def profile(
    target: o.Target,
    *,
    builds: g.BuildOptions,
    calibration_dataset: o.CalibrationDataset = None,
    batch: Annotated[int, o.option("batches")] = 1,
    threads: Annotated[int, o.option("threads")] = 0,
    runtime: o.Runtimes = None,
    provider: o.Provider = CPU_PROVIDER,
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_INTEGER, help="Number of slowest nodes to show.")
    ] = 10,
    json: o.Json = False,
) -> int:
    """Shows the time of an inference by operator, with the share of SE blocks and conversions.

    Times are in ms. Conversions are nodes that the runtime inserts to change type or layout.

    Example: `python -m engine profile timm/seresnet50 --weights random -p int8`
    """
    if is_digest(target):
        artifact = artifacts.find_by_digest(target, prepare_database())
        specs = [
            ProfileSpec(
                artifact=artifact.digest,
                batch=batch,
                threads=threads,
                provider=provider,
                runtime=name,
            )
            for name in possible_runtimes(runtime, artifact, provider, profiles=True)
        ]
        jobs = [finish_job(profile_job(spec)) for spec in specs]
    else:
        request = RunRequest(
            model_id=target,
            **builds.request_fields(runtime),
            tasks=(Task.PROFILE,),
            calibration_dataset=calibration_dataset,
            batches=(batch,),
            threads=(threads,),
            provider=provider,
        )
        jobs = finish_run(submit_with_warnings(request))
    results = [JobResult.from_stored(job.result) for job in jobs]
    profiles = [
        _profile_of_job(result, result.profile, job.params.get("runtime", DEFAULT_RUNTIME))
        for job, result in zip(jobs, results, strict=True)
        if result.profile
    ]
    if json:
        emit_json([profile_.dump() for profile_ in profiles])
    else:
        for profile_ in profiles:
            _show(profile_, limit)
    return 0 if all(job.status == JobStatus.SUCCEEDED for job in jobs) else 1


def _profile_of_job(result: JobResult, artifact: str, runtime: str) -> Profile:
    """The profile that this job has written."""
    conditions = (result.batch, result.threads, runtime)
    return next(
        profile
        for profile in load_profiles(artifact)
        if (profile.batch, profile.threads, name_in(profile.runtime)) == conditions
    )


def _show(profile_: Profile, limit: int) -> None:
    sums = sum_times(profile_.nodes)
    emit_table(
        f"{profile_.model_id} {profile_.precision} in {profile_.runtime}, batch {profile_.batch}, "
        f"threads {profile_.threads}: time by operator",
        ("operator", "nodes", "ms", "% of total", "ms in SE blocks", "inserted conversions"),
        [
            (row["op"], row["nodes"], row["ms"], 100 * row["share"], row["se_ms"], row["inserted"])
            for row in times_by_operator(profile_.nodes).to_dict("records")
        ],
    )
    emit_table(
        f"The {limit} slowest nodes",
        ("node", "operator", "ms", "% of total", "output shape", "SE block"),
        [
            (
                node.name,
                node.op,
                node.ms,
                100 * node.ms / sums.nodes_ms,
                " x ".join(str(size) for size in node.output),
                node.se_block,
            )
            for node in slowest_nodes(profile_.nodes, limit)
        ],
    )
    note(
        f"{sums.se_blocks} SE blocks: {sums.se_ms:.2f} ms, {sums.se_ms / sums.nodes_ms:.1%}. "
        f"Inserted conversions: {sums.inserted_ms:.2f} ms, {sums.inserted_ms / sums.nodes_ms:.1%}"
        + (f" (of which {sums.inserted_in_se_ms:.2f} ms in SE blocks)." if sums.se_blocks else ".")
    )
    note(
        f"All nodes: {sums.nodes_ms:.2f} ms, {sums.nodes_ms / profile_.wall_ms:.1%} of the "
        f"{profile_.wall_ms:.2f} ms of an inference with the profiler, and "
        f"{sums.nodes_ms / profile_.latency_ms:.1%} of the {profile_.latency_ms:.2f} ms without it."
    )
    for reason in profile_.noise:
        note(f"Interference: {reason}.")
