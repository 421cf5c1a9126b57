"""The x-axes of the accuracy chart: how fast a build is, or what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from engine.benchmark.sweep import Percentile

GMACS, GFLOPS = "compute_gmacs", "gflops"
FLOPS_PER_MAC = 2


@dataclass(frozen=True, slots=True)
class CostAxis:
    """One choice of x: its name on the page, its column of points, its title with the unit.

    `of_build`: a fact of the build, equal in all runtimes; the others are measured under the
    selected conditions. `of_model`: published rows have it too.
    """

    name: str
    column: str
    title: str
    higher_is_better: bool = False
    of_build: bool = False
    of_model: bool = False

    def title_for(self, setting: str, approximate: bool = False) -> str:
        """The title of the axis; `setting`: the conditions of a measured figure."""
        conditions = "" if self.of_build or not setting else f", {setting}"
        direction = "higher is better →" if self.higher_is_better else "← lower is better"
        estimated = "; ~ estimated" if approximate else ""
        # Two lines: charts of one runtime each are narrow.
        separator = ",<br>" if self.of_model else ", "
        return f"{self.title} (log){conditions}{separator}{direction}{estimated}"


_AXES = (
    CostAxis("Throughput", "images_per_s", "images/s", higher_is_better=True),
    CostAxis("Latency", Percentile.P90.column, "latency of a request in ms"),
    CostAxis("GMACs", GMACS, "GMACs per image", of_build=True, of_model=True),
    CostAxis("GFLOPs", GFLOPS, "GFLOPs per image", of_build=True, of_model=True),
    CostAxis("Size", "size_mb", "size of the model file in MB", of_build=True),
    CostAxis("Memory", "peak_rss_mb", "peak memory in MB"),
)
COST_AXES = {axis.name: axis for axis in _AXES}
THROUGHPUT, LATENCY, COMPUTE = (COST_AXES[name] for name in ("Throughput", "Latency", "GMACs"))


def axis_named(name: str, percentile: Percentile = Percentile.P90) -> CostAxis:
    """The axis of a name, Throughput for an unknown one; Latency is that at `percentile`."""
    axis = COST_AXES.get(name, THROUGHPUT)
    if axis is not LATENCY:
        return axis
    return replace(axis, column=percentile.column, title=f"{percentile} of a request in ms")


def with_gflops(points: pd.DataFrame) -> pd.DataFrame:
    """Adds `gflops`: two floating-point operations for each multiply-accumulate."""
    return points.assign(**{GFLOPS: FLOPS_PER_MAC * points[GMACS].astype(float)})
