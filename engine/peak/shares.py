"""The share of the machine's peak that a benchmark reached.

The peak is that of the same precision and of the benchmark's total thread count, limited to the
number of cores. Emulated fp16 computes in fp32 and is compared with the fp32 peak. Where a
benchmark was faster than every matrix product, its own speed is the peak, so no share exceeds
100 %.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from db.enums import Precision
from engine.build.fp16.execution import EMULATED
from engine.peak.records import load_all_peaks, peak_key
from engine.runtimes.registry import RUNTIMES, name_in
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME
from engine.specs.precisions import PRECISIONS, facts_of, file_precision

_KEYS = ["environment_digest", "used_threads", "peak_precision"]


def peak_precision(precision: str, execution: str, provider: str, runtime: str) -> str | None:
    """The precision of the peak that a benchmark is compared with; None if there is no peak.

    Peaks are measured on the CPU, in each runtime of its own: other providers and runtimes have no
    share.
    """
    name = name_in(runtime)
    if provider != CPU_PROVIDER or name not in RUNTIMES or not RUNTIMES[name].has_peak:
        return None
    if name != DEFAULT_RUNTIME:
        mixed = precision in PRECISIONS and facts_of(precision).rest is not None
        return peak_key(name, file_precision(precision) if mixed else precision)
    if precision == Precision.FP16:
        return Precision.FP32 if execution == EMULATED else None
    return precision


def add_peak_shares(benchmarks: pd.DataFrame, builds: pd.DataFrame, url: str) -> pd.DataFrame:
    """Adds `peak_gmacs_per_s` and `peak_share` (%), NaN where the peak or the speed is unknown.

    Columns of `benchmarks`: artifact_digest, environment_digest, provider, runtime, threads,
    instances, processes, achieved_gmacs_per_s; of `builds`: artifact_digest, precision, execution.
    """
    peaks = _peak_table(url)
    if benchmarks.empty or peaks.empty:
        return benchmarks.assign(peak_gmacs_per_s=np.nan, peak_share=np.nan)
    keyed = _peak_keys(benchmarks, builds, peaks)
    measured = keyed.merge(peaks, on=_KEYS, how="left")["peak"].to_numpy(float)
    achieved = keyed["achieved"].to_numpy(float)
    fastest = keyed.groupby(_KEYS, dropna=False)["achieved"].transform("max").to_numpy(float)
    peak = np.where(np.isnan(measured), np.nan, np.fmax(measured, fastest))
    return benchmarks.assign(peak_gmacs_per_s=peak, peak_share=100 * achieved / peak)


def _peak_table(url: str) -> pd.DataFrame:
    rows = [
        (digest, cores, peak.threads, peak.precision, peak.gmacs_per_s)
        for digest, cores, peak in load_all_peaks(url)
    ]
    return pd.DataFrame(rows, columns=["environment_digest", "cores", *_KEYS[1:], "peak"])


def _peak_keys(benchmarks: pd.DataFrame, builds: pd.DataFrame, peaks: pd.DataFrame) -> pd.DataFrame:
    """The columns of _KEYS and `achieved`, one row per benchmark."""
    facts = builds.drop_duplicates("artifact_digest").set_index("artifact_digest")
    digests = benchmarks["artifact_digest"]
    columns = (
        digests.map(facts["precision"]).fillna("").astype(str),
        digests.map(facts["execution"]).fillna("").astype(str),
        benchmarks["provider"].astype(str),
        benchmarks["runtime"].astype(str),
    )
    cores = peaks.drop_duplicates("environment_digest").set_index("environment_digest")["cores"]
    requested = benchmarks[["threads", "instances", "processes"]].astype(float).prod(axis=1)
    used = np.fmin(requested, benchmarks["environment_digest"].map(cores).astype(float))
    return pd.DataFrame(
        {
            "environment_digest": benchmarks["environment_digest"],
            "used_threads": used,
            "peak_precision": [peak_precision(*row) for row in zip(*columns, strict=True)],
            "achieved": benchmarks["achieved_gmacs_per_s"].astype(float),
        }
    )
