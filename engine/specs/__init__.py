"""Specifications of jobs: immutable data that is stored, compared and hashed.

A spec holds everything that decides its result, so its fingerprint finds an existing result. Specs
are nested: a build contains its export, a measurement contains its build.
"""

from engine.specs.base import DEFAULT_RUNTIME, Spec
from engine.specs.benchmarks import (
    CPU_PROVIDER,
    NEEDS_ONE_PROCESS,
    RATIO_TOLERANCE,
    SEARCH_TIMES,
    WINDOW_S,
    BenchmarkSpec,
    MeasuredSpec,
    PeakSpec,
    ProfileSpec,
    Scenario,
    SessionSpec,
    scenario_problem,
)
from engine.specs.builds import (
    CALIBRATION_IMAGES,
    FLOAT_SHARE,
    PERCENTILE,
    SEARCH_S,
    BiasCorrection,
    BuildSpec,
    CalibrationMode,
    CalibrationSpec,
    RangeCheckSpec,
    TargetName,
)
from engine.specs.datasets import DatasetSpec
from engine.specs.evaluations import (
    SHARD_IMAGES,
    DrawsSpec,
    EvaluateSpec,
    ExcitationsSpec,
    LayersSpec,
    shard_ranges,
)
from engine.specs.exports import ExportFormat, ExportRoute, ExportSpec, WeightsSpec, absolute

__all__ = [
    "CALIBRATION_IMAGES",
    "CPU_PROVIDER",
    "DEFAULT_RUNTIME",
    "FLOAT_SHARE",
    "NEEDS_ONE_PROCESS",
    "PERCENTILE",
    "RATIO_TOLERANCE",
    "SEARCH_S",
    "SEARCH_TIMES",
    "SHARD_IMAGES",
    "WINDOW_S",
    "BenchmarkSpec",
    "BiasCorrection",
    "BuildSpec",
    "CalibrationMode",
    "CalibrationSpec",
    "DatasetSpec",
    "DrawsSpec",
    "EvaluateSpec",
    "ExcitationsSpec",
    "ExportFormat",
    "ExportRoute",
    "ExportSpec",
    "LayersSpec",
    "MeasuredSpec",
    "PeakSpec",
    "ProfileSpec",
    "RangeCheckSpec",
    "Scenario",
    "SessionSpec",
    "Spec",
    "TargetName",
    "WeightsSpec",
    "absolute",
    "scenario_problem",
    "shard_ranges",
]
