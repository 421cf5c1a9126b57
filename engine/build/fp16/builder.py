"""The fp16 build: values observed, what does not fit kept in float, and both held against fp32."""

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
NOT_CHECKED = "not range-checked on data: only on images that the workbench draws and on noise"


@dataclass(frozen=True, slots=True)
class _Data:
    """The batches to look at; `dataset` None where they are probes."""

    batches: Iterable[np.ndarray]
    compared: list[np.ndarray]
    dataset: Dataset | None
    images: int


def build(source: Source, path: Path, context: JobContext) -> BuildDetails:
    """Writes the fp16 model to `path`; returns its details for the manifest."""
    model, export, asked = source.model, source.export, source.spec.range_check
    refuse_control_flow(model)
    data = _checked(export, asked, context) if asked else _probes(export)
    extremes = extremes_of(model, _told(data, context), settings().threads)
    kept = keep_in_float(model, extremes)
    outputs = frozenset(one.output for one in kept)
    half = convert(model, outputs)
    graph_io.save(half, path)
    for one in kept:
        context.say(f"{one.node} ({one.op}) stays in float: {one.reason}.")
    execution = observed(half)
    tensor, value = extremes.largest
    return BuildDetails(
        execution=execution.kind,
        execution_why=execution.why,
        half=Fp16Build(
            kept_in_float=[FloatNode(**asdict(one)) for one in kept],
            checked=_what_was_checked(data),
            largest=LargestValue(tensor=tensor, value=value),
            agreement=_agreement(model, imitate(model, outputs), data),
        ),
    )


def _checked(export: Artifact, asked: RangeCheckSpec, context: JobContext) -> _Data:
    dataset = find_dataset(asked.dataset, context.url)
    index, spec = open_index(dataset), artifacts.preprocess_of(export)
    drawn = sample_by_class(index.labels, asked.images, asked.seed)
    if len(drawn) < asked.images:
        context.say(f"Only {len(drawn)} images to check ranges on, {asked.images} were asked.")
    context.stage(f"Checking ranges on {len(drawn)} images of {dataset.name}.")
    threads = settings().threads
    compared = list(read_batches(index, drawn[:COMPARED_IMAGES], spec, BATCH, threads))
    batches = read_batches(index, drawn, spec, BATCH, threads)
    return _Data(batches, compared, dataset, len(drawn))


def _probes(export: Artifact) -> _Data:
    probes = probe_inputs(artifacts.preprocess_of(export))
    return _Data(probes, probes, None, sum(len(batch) for batch in probes))


def _told(data: _Data, context: JobContext) -> Iterable[np.ndarray]:
    """The batches, with progress."""
    seen = 0
    for batch in data.batches:
        yield batch
        seen += len(batch)
        context.progress(seen, data.images, "images", "Checking ranges")


def _what_was_checked(data: _Data) -> RangeCheck:
    limits: dict[str, Any] = {"images": data.images, "limit": LIMIT, "largest_half": LARGEST}
    if data.dataset is None:
        return RangeCheck(dataset=None, note=NOT_CHECKED, **limits)
    dataset = data.dataset
    return RangeCheck(dataset=dataset.name, dataset_digest=dataset.digest, **limits)


def _agreement(model: ModelProto, half: ModelProto, data: _Data) -> Fp16Agreement:
    """fp16 against fp32, with all that is stored in half precision truly rounded to it."""
    threads = settings().threads
    wanted, found = (_scores(one, data.compared, threads) for one in (model, half))
    if not np.isfinite(found).all():
        raise BuildFailed(
            "The fp16 build gives scores that are not finite although its ranges were checked: a "
            "sum inside a layer exceeds half precision. Build it in fp32 or int8."
        )
    return Fp16Agreement(
        images=len(wanted),
        same_class=int((wanted.argmax(axis=1) == found.argmax(axis=1)).sum()),
        signal_db=noise_to_sqnr_db(relative_noise(found, wanted)),
    )


def _scores(model: ModelProto, batches: list[np.ndarray], threads: int) -> np.ndarray:
    session = session_of(model, threads)
    return np.concatenate([session.run(None, {graph_io.INPUT: batch})[0] for batch in batches])
