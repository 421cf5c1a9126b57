"""The table of builders, one per precision; a builder's module is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from db.enums import Precision
from engine.specs import BuildSpec
from engine.specs.precisions import file_precision
from engine.store.manifest import BuildDetails, ExportManifest

if TYPE_CHECKING:
    from onnx import ModelProto

    from db.models import Artifact
    from engine.jobs.context import JobContext


@dataclass(frozen=True, slots=True)
class Source:
    """Input of a builder; `recipe` is that of the build."""

    export: Artifact
    manifest: ExportManifest
    model: ModelProto
    spec: BuildSpec
    recipe: str


Build = Callable[[Source, Path, "JobContext"], BuildDetails]
"""Writes the model to a path; returns its details for the manifest. Raises BuildFailed."""


@dataclass(frozen=True, slots=True)
class Builder:
    """`where` is a Build as `module:function`.

    `recipe` is a version, raised when the same request gives another model. `integers`: the model
    computes in integers, so sums may overflow, and not every export can be built.
    """

    where: str
    recipe: Mapping[str, str] = field(default_factory=dict)
    integers: bool = False

    def build(self, source: Source, path: Path, context: JobContext) -> BuildDetails:
        """Imports the builder and runs it; see `Build`."""
        module, _, name = self.where.partition(":")
        builds: Build = getattr(import_module(module), name)
        return builds(source, path, context)


BUILDERS: dict[str, Builder] = {
    Precision.FP32: Builder("engine.build.fp32:build"),
    Precision.FP16: Builder("engine.build.fp16.builder:build", {"fp16": "2"}),
    Precision.INT8: Builder("engine.build.int8.builder:build", {"int8": "8"}, integers=True),
}


def builder_of(precision: str) -> Builder:
    """The builder of a precision, or of the precision whose file it shares."""
    return BUILDERS[file_precision(precision)]
