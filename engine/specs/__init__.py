"""What is asked for, as frozen data that can be stored, compared and digested.

Each spec holds all that decides its result, so its digest (the recipe) finds what was made
before. Nested: a build names its export, a measurement names its build.
"""

from engine.specs.base import Spec
from engine.specs.benchmarks import (
    CPU_PROVIDER,
    DEFAULT_RUNTIME,
    NEEDS_ONE_PROCESS,
    SEARCH_TIMES,
    WINDOW_S,
    BenchmarkSpec,
    MeasuredSpec,
    PeakSpec,
    ProfileSpec,
    Scenario,
    scenario_problem,
)
from engine.specs.builds import (
    CALIBRATION_IMAGES,
    FLOAT_SHARE,
    PERCENTILE,
    SEARCH_S,
    BuildSpec,
    CalibrationMode,
    CalibrationSpec,
    RangeCheckSpec,
    TargetName,
)
from engine.specs.datasets import DatasetSpec
from engine.specs.evaluations import SHARD_IMAGES, EvaluateSpec, ExcitationsSpec, shard_ranges
from engine.specs.exports import ExportFormat, ExportRoute, ExportSpec, WeightsSpec, absolute

__all__ = [
    "CALIBRATION_IMAGES",
    "CPU_PROVIDER",
    "DEFAULT_RUNTIME",
    "FLOAT_SHARE",
    "NEEDS_ONE_PROCESS",
    "PERCENTILE",
    "SEARCH_S",
    "SEARCH_TIMES",
    "SHARD_IMAGES",
    "WINDOW_S",
    "BenchmarkSpec",
    "BuildSpec",
    "CalibrationMode",
    "CalibrationSpec",
    "DatasetSpec",
    "EvaluateSpec",
    "ExcitationsSpec",
    "ExportFormat",
    "ExportRoute",
    "ExportSpec",
    "MeasuredSpec",
    "PeakSpec",
    "ProfileSpec",
    "RangeCheckSpec",
    "Scenario",
    "Spec",
    "TargetName",
    "WeightsSpec",
    "absolute",
    "scenario_problem",
    "shard_ranges",
]
