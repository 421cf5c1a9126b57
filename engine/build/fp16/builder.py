"""The fp16 build: value ranges, nodes that stay in fp32, and the agreement with fp32."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from db.models import Artifact, Dataset
from engine.build.builders import Source
from engine.build.fp16.conversion import convert, refuse_control_flow
from engine.build.fp16.emulation import imitate
from engine.build.fp16.fallback import keep_in_float
from engine.build.fp16.limits import LARGEST, LIMIT
from engine.build.fp16.observing import observed
from engine.build.fp16.value_ranges import extremes_of
from engine.build.int8.mixed_precision.sensitivity import noise_to_sqnr_db, relative_noise
from engine.config import settings
from engine.datasets.reader import open_index, read_batches
from engine.datasets.registration import find_dataset
from engine.datasets.sampling import sample_by_class
from engine.errors import BuildFailed
from engine.export.verify import probe_inputs
from engine.jobs.context import JobContext
from engine.onnx import graph_io
from engine.runtimes.observing import session_of
from engine.specs import RangeCheckSpec
from engine.store import artifacts
from engine.store.manifest import (
    BuildDetails,
    FloatNode,
    Fp16Agreement,
    Fp16Build,
    LargestValue,
    RangeCheck,
)

BATCH = 8
COMPARED_IMAGES = 64
NOT_CHECKED = "overflow not checked (no dataset): only synthetic images and noise were used"


@dataclass(frozen=True, slots=True)
class _Data:
    """Batches for the overflow check; `dataset`: None if they are the built-in test inputs."""

    batches: Iterable[np.ndarray]
    compared: list[np.ndarray]
    dataset: Dataset | None
    images: int


def build(source: Source, path: Path, context: JobContext) -> BuildDetails:
    """Writes the fp16 model to `path`; returns its details for the manifest."""
    model, export, range_check = source.model, source.export, source.spec.range_check
    refuse_control_flow(model)
    data = _dataset_images(export, range_check, context) if range_check else _probes(export)
    extremes = extremes_of(model, _with_progress(data, context), settings().threads)
    float_nodes = keep_in_float(model, extremes)
    outputs = frozenset(node.output for node in float_nodes)
    fp16_model = convert(model, outputs)
    graph_io.save(fp16_model, path)
    for node in float_nodes:
        context.say(f"{node.node} ({node.op}) stays in fp32: {node.reason}.")
    execution = observed(fp16_model)
    tensor, value = extremes.largest
    return BuildDetails(
        execution=execution.kind,
        execution_why=execution.why,
        half=Fp16Build(
            kept_in_float=[FloatNode(**asdict(node)) for node in float_nodes],
            checked=_range_check(data),
            largest=LargestValue(tensor=tensor, value=value),
            agreement=_agreement(model, imitate(model, outputs), data),
        ),
    )


def _dataset_images(export: Artifact, range_check: RangeCheckSpec, context: JobContext) -> _Data:
    dataset = find_dataset(range_check.dataset, context.url)
    index, spec = open_index(dataset), artifacts.preprocess_of(export)
    indices = sample_by_class(index.labels, range_check.images, range_check.seed)
    if len(indices) < range_check.images:
        context.say(
            f"Only {len(indices)} images for the overflow check; "
            f"{range_check.images} were requested."
        )
    context.stage(f"Checking for overflow on {len(indices)} images of {dataset.name}.")
    threads = settings().threads
    compared = list(read_batches(index, indices[:COMPARED_IMAGES], spec, BATCH, threads))
    batches = read_batches(index, indices, spec, BATCH, threads)
    return _Data(batches, compared, dataset, len(indices))


def _probes(export: Artifact) -> _Data:
    probes = probe_inputs(artifacts.preprocess_of(export))
    return _Data(probes, probes, None, sum(len(batch) for batch in probes))


def _with_progress(data: _Data, context: JobContext) -> Iterable[np.ndarray]:
    """The batches; reports progress after each."""
    images_done = 0
    for batch in data.batches:
        yield batch
        images_done += len(batch)
        context.progress(images_done, data.images, "images", "Checking for overflow")


def _range_check(data: _Data) -> RangeCheck:
    limits: dict[str, Any] = {"images": data.images, "limit": LIMIT, "largest_half": LARGEST}
    if data.dataset is None:
        return RangeCheck(dataset=None, note=NOT_CHECKED, **limits)
    dataset = data.dataset
    return RangeCheck(dataset=dataset.name, dataset_digest=dataset.digest, **limits)


def _agreement(model: ModelProto, fp16_model: ModelProto, data: _Data) -> Fp16Agreement:
    """Agreement of fp16 with fp32; every value stored in fp16 is rounded to fp16."""
    threads = settings().threads
    expected, scores = (_scores(each, data.compared, threads) for each in (model, fp16_model))
    if not np.isfinite(scores).all():
        raise BuildFailed(
            "The fp16 build gives scores that are not finite although no tensor overflows: a "
            "sum inside a layer exceeds the range of fp16. Build it in fp32 or int8."
        )
    return Fp16Agreement(
        images=len(expected),
        same_class=int((expected.argmax(axis=1) == scores.argmax(axis=1)).sum()),
        signal_db=noise_to_sqnr_db(relative_noise(scores, expected)),
    )


def _scores(model: ModelProto, batches: list[np.ndarray], threads: int) -> np.ndarray:
    session = session_of(model, threads)
    return np.concatenate([session.run(None, {graph_io.INPUT: batch})[0] for batch in batches])
