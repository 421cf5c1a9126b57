"""Which share of its machine's peak a benchmark reached.

The peak is that of the benchmark's own precision and of as many threads as it had in all; no more
than there are cores. fp16 that is emulated computes in fp32 and is held against that. Where a
benchmark was faster than every matrix product, its own speed is the peak: no share exceeds 100 %.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from db.enums import Precision
from engine.build.fp16.execution import EMULATED
from engine.peak.records import all_peaks
from engine.runtimes.registry import name_in
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME

_KEYS = ["environment_digest", "used_threads", "peak_precision"]


def peak_precision(precision: str, execution: str, provider: str, runtime: str) -> str | None:
    """The precision of the peak that a benchmark is held against; None where there is none.

    Peaks are of ONNX Runtime on the CPU: other providers and runtimes have no share.
    """
    if provider != CPU_PROVIDER or name_in(runtime) != DEFAULT_RUNTIME:
        return None
    if precision == Precision.FP16:
        return Precision.FP32 if execution == EMULATED else None
    return precision


def with_shares(benchmarks: pd.DataFrame, builds: pd.DataFrame, url: str) -> pd.DataFrame:
    """Adds `peak_gmacs_per_s` and `peak_share` (%), NaN where either side is unknown.

    `benchmarks` has artifact_digest, environment_digest, provider, runtime, threads, instances,
    processes and achieved_gmacs_per_s; `builds` artifact_digest, precision and execution.
    """
    peaks = _peak_table(url)
    if benchmarks.empty or peaks.empty:
        return benchmarks.assign(peak_gmacs_per_s=np.nan, peak_share=np.nan)
    keyed = _keyed(benchmarks, builds, peaks)
    found = keyed.merge(peaks, on=_KEYS, how="left")["peak"].to_numpy(float)
    achieved = keyed["achieved"].to_numpy(float)
    fastest = keyed.groupby(_KEYS, dropna=False)["achieved"].transform("max").to_numpy(float)
    peak = np.where(np.isnan(found), np.nan, np.fmax(found, fastest))
    return benchmarks.assign(peak_gmacs_per_s=peak, peak_share=100 * achieved / peak)


def _peak_table(url: str) -> pd.DataFrame:
    rows = [
        (digest, cores, peak.threads, peak.precision, peak.gmacs_per_s)
        for digest, cores, peak in all_peaks(url)
    ]
    return pd.DataFrame(rows, columns=["environment_digest", "cores", *_KEYS[1:], "peak"])


def _keyed(benchmarks: pd.DataFrame, builds: pd.DataFrame, peaks: pd.DataFrame) -> pd.DataFrame:
    """The columns of _KEYS and `achieved`, a row a benchmark."""
    about = builds.drop_duplicates("artifact_digest").set_index("artifact_digest")
    digests = benchmarks["artifact_digest"]
    columns = (
        digests.map(about["precision"]).fillna("").astype(str),
        digests.map(about["execution"]).fillna("").astype(str),
        benchmarks["provider"].astype(str),
        benchmarks["runtime"].astype(str),
    )
    cores = peaks.drop_duplicates("environment_digest").set_index("environment_digest")["cores"]
    asked = benchmarks[["threads", "instances", "processes"]].astype(float).prod(axis=1)
    used = np.fmin(asked, benchmarks["environment_digest"].map(cores).astype(float))
    return pd.DataFrame(
        {
            "environment_digest": benchmarks["environment_digest"],
            "used_threads": used,
            "peak_precision": [peak_precision(*row) for row in zip(*columns, strict=True)],
            "achieved": benchmarks["achieved_gmacs_per_s"].astype(float),
        }
    )
