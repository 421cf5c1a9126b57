"""The job that measures the errors of the layers of an int8 build on images of a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from db.models import Artifact, Dataset
from engine.build.int8.channel_factors import load_factors
from engine.config import settings
from engine.datasets.reader import open_index, read_batches
from engine.datasets.registration import find_dataset
from engine.datasets.sampling import sample_by_class
from engine.errors import DatasetInvalid
from engine.jobs.context import JobContext
from engine.layer_errors.findings import findings_of
from engine.layer_errors.measure import measure_layer_errors
from engine.layer_errors.records import LayerErrors, store_layer_errors
from engine.layer_errors.reference import Reference
from engine.layer_errors.requests import require_int8
from engine.onnx import graph_io
from engine.runtimes.optimizer import optimized
from engine.runtimes.registry import runtime_of, why_not
from engine.runtimes.tensor_readers import READABLE
from engine.specs import LayersSpec
from engine.specs.precisions import Precision
from engine.store import artifacts
from engine.text import plural

APPENDED_SOFTMAX = "appended_softmax"


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: measures the errors of a build, and stores them in place of earlier ones."""
    spec = LayersSpec.model_validate(params)
    artifact = artifacts.find_by_digest(spec.artifact, context.url)
    dataset = find_dataset(spec.dataset, context.url)
    if dataset.digest != spec.dataset_digest:
        raise DatasetInvalid(
            f"Dataset {spec.dataset} was registered again after this job was queued: retry."
        )
    errors = measure(artifact, dataset, spec.images, context)
    store_layer_errors(errors)
    for sentence in (*errors.missing.values(), *errors.findings):
        context.say(sentence)
    context.say(
        f"{plural(len(errors.tensors), 'tensor')} on {plural(errors.images, 'image')}: "
        f"{plural(len(errors.findings), 'finding')}."
    )
    return {"artifact": artifact.digest, "images": errors.images}


def measure(artifact: Artifact, dataset: Dataset, images: int, context: JobContext) -> LayerErrors:
    """The errors of a build on `images` images of a dataset, sampled by class."""
    require_int8(artifact)
    model = _without_softmax(onnx.load(artifacts.model_path(artifact.digest)))
    reference = _reference(artifact, context)
    if reference is None:
        context.say(
            "This build does not say how its channels were scaled, so it is compared with the "
            "runtimes only: build it again to compare it with fp32."
        )
    runtimes = [name for name in READABLE if why_not(name, Precision.INT8) is None]
    index = open_index(dataset)
    selected = sample_by_class(index.labels, min(images, len(index)), seed=0)
    preprocess, threads = artifacts.preprocess_of(artifact), settings().threads

    def single_images() -> Iterator[np.ndarray]:
        for batch in read_batches(index, selected, preprocess, 4, threads):
            yield from (image[None] for image in batch)

    context.stage(f"Comparing layers in {', '.join(runtimes)}.")
    measured = measure_layer_errors(
        model,
        single_images(),
        runtimes,
        threads,
        reference,
        lambda done: context.progress(done, len(selected), "images"),
    )
    return LayerErrors(
        artifact=artifact.digest,
        model_id=artifact.model_id,
        dataset=dataset.name,
        images=measured.images,
        has_reference=reference is not None,
        runtimes={
            name: str(runtime_of(name).version())
            for name in runtimes
            if name not in measured.missing
        },
        missing=measured.missing,
        tensors=measured.tensors,
        findings=findings_of(measured.tensors),
    )


def _reference(artifact: Artifact, context: JobContext) -> Reference | None:
    """The fp32 of a build; None where it, or the scale of its channels, is not known."""
    factors = load_factors(artifacts.folder_of(artifact.digest))
    if factors is None or artifact.parent_digest is None:
        return None
    source = optimized(artifacts.model_path(artifact.parent_digest), context.workspace)
    return Reference.of(source, factors)


def _without_softmax(model: ModelProto) -> ModelProto:
    """The model without a softmax that its build has appended; its output keeps its name."""
    last = model.graph.node[-1]
    if last.name == APPENDED_SOFTMAX:
        scores, probabilities = last.input[0], last.output[0]
        model.graph.node.remove(last)
        for node in model.graph.node:
            node.output[:] = [probabilities if name == scores else name for name in node.output]
            node.input[:] = [probabilities if name == scores else name for name in node.input]
        graph_io.drop_stale_shapes(model.graph)
    return model
