"""Setup of the evaluation benchmark: a home, the photographs, builds, and single passes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np

from benchmarks.rates import BATCH, Rate, Stopwatch, parallel_rate
from db.enums import Precision, WeightsKind
from db.models import Artifact
from engine.build import job as build
from engine.catalog.models import find_model
from engine.common import environment
from engine.config import settings
from engine.datasets import pixel_cache
from engine.datasets.decoding import Decoders
from engine.datasets.reader import DatasetIndex, open_index
from engine.datasets.registration import check_folder, register
from engine.evaluation import record, shards
from engine.evaluation.pipeline import in_flight, threads_each
from engine.evaluation.task import Task, match_classes, prepare
from engine.export import job as export
from engine.jobs.context import JobContext
from engine.preprocess import PreprocessSpec
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import BuildSpec, CalibrationSpec, EvaluateSpec, ExportSpec, WeightsSpec
from engine.store import artifacts
from engine.store.database import prepare_database
from engine.store.manifest import ExportManifest

INFERENCE_BATCHES = 12
FIRST_BATCHES = 4


class StandaloneContext(JobContext):
    """A job context without a job."""

    def _write(self, values: dict[str, object]) -> None:
        pass


class Workbench:
    """A home with the photographs registered; each build is made once."""

    def __init__(self, real_data: Path, folder: Path) -> None:
        settings.cache_clear()
        self.url, self.folder, self.photographs = prepare_database(), folder, real_data
        self.real_weights = real_data / "weights" / "tf_mobilenetv3_small_100.safetensors"
        images = real_data / "imagenet_1000"
        self.dataset = register(
            "in1k", check_folder(images, None, lambda done, total: None), self.url
        )
        self.index = open_index(self.dataset)
        self.threads = settings().threads
        self._built: dict[tuple[str, str], Artifact] = {}

    def context(self) -> StandaloneContext:
        """A context with a new workspace."""
        workspace = Path(self.folder / f"work-{time.monotonic_ns()}")
        workspace.mkdir()
        return StandaloneContext(self.url, None, 1, workspace)  # type: ignore[arg-type]

    def build(self, model: str, precision: str) -> Artifact:
        """The build of a model: with real weights for MobileNetV3, random ones for others."""
        if (model, precision) not in self._built:
            random = WeightsSpec(kind=WeightsKind.RANDOM)
            real = WeightsSpec(kind=WeightsKind.FILE, path=str(self.real_weights))
            weights = real if "mobilenet" in model else random
            exported = ExportSpec(model_id=model, weights=weights)
            export.run(exported.to_json(), self.context())
            calibration = CalibrationSpec(dataset="in1k", images=32)
            spec = BuildSpec(
                export=exported,
                precision=Precision(precision),
                calibration=calibration if precision == "int8" else None,
            )
            digest = build.run(spec.to_json(), self.context())["artifact"]
            self._built[model, precision] = artifacts.find_by_digest(digest, self.url)
        return self._built[model, precision]

    def preprocess_of(self, model: str) -> PreprocessSpec:
        """The preprocessing of a model."""
        published = find_model(model).preprocess
        return published or artifacts.preprocess_of(self.build(model, "fp32"))

    def clear_cache(self) -> None:
        """Empties the cache of decoded images."""
        pixel_cache.clear()

    def decoding_rate(self, images: int) -> Rate:
        """Images per second of decoding and preprocessing alone, on all cores."""
        spec = self.preprocess_of("timm/seresnet50")
        decoders = Decoders(self.index, spec, BATCH, None, self.threads, 10**6)
        try:
            indices = np.arange(BATCH)
            decoders.wait(decoders.start(0, indices, np.ones(BATCH, bool)))
            stopwatch = Stopwatch()
            futures = [
                future
                for start in range(0, images - BATCH + 1, BATCH)
                for future in decoders.start(0, indices + start, np.ones(BATCH, bool))
            ]
            decoders.wait(futures)
            return stopwatch.rate(images // BATCH * BATCH)
        finally:
            decoders.close()

    def inference_rate(self, artifact: Artifact) -> Rate:
        """Images per second of inference alone, on inputs in memory."""
        path = artifacts.model_path(artifact.digest)
        model = OnnxSession(path, "CPUExecutionProvider", threads_each(self.threads))
        side = artifacts.preprocess_of(artifact).crop
        inputs = np.random.default_rng(0).normal(size=(BATCH, 3, side, side)).astype(np.float32)
        parallel = in_flight(self.threads)
        parallel_rate(lambda _: model.run(inputs), parallel, parallel)
        return parallel_rate(lambda _: model.run(inputs), parallel, INFERENCE_BATCHES)

    def task(self, artifact: Artifact, images: int) -> Task:
        """An evaluation of `images` images; the photographs repeat where there are fewer."""
        repeats = -(-images // len(self.index))
        index = DatasetIndex(
            name=self.index.name,
            digest=self.index.digest if repeats == 1 else f"{self.index.digest[:60]}x{repeats:03d}",
            root=self.index.root,
            files=self.index.files * repeats,
            labels=np.tile(self.index.labels, repeats),
            classes=self.index.classes,
        )
        spec = EvaluateSpec(artifact=artifact.digest, dataset="in1k", batch=BATCH, limit=images)
        return Task(
            spec=spec,
            artifact=artifact,
            manifest=ExportManifest.from_artifact(artifact),
            index=index,
            images=np.arange(images),
            preprocess=artifacts.preprocess_of(artifact),
            surroundings=environment.observe_machine(),
            matching=match_classes(artifact, index),
        )

    def evaluation_rate(self, artifact: Artifact, images: int) -> tuple[Rate, Rate]:
        """The steady-state rate of a pass (without its first batches), and the rate of all of it.

        The latter includes starting processes, loading the model and writing the shards.
        """
        task = self.task(artifact, images)
        shutil.rmtree(task.folder, ignore_errors=True)
        steady: list[Stopwatch] = []
        finished: list[Rate] = []

        def report(done: int, correct: int) -> None:
            if done == FIRST_BATCHES * BATCH:
                steady.append(Stopwatch())
            elif done == images:
                finished.append(steady[0].rate(images - FIRST_BATCHES * BATCH))

        full_pass = Stopwatch()
        shards.compute(task, task.shards(), self.context(), report, lambda: None)
        total = full_pass.rate(images)
        shutil.rmtree(task.folder, ignore_errors=True)
        return finished[0], total

    def counts(self, model: str) -> tuple[int, int]:
        """(top-1, top-5) correct counts of a real evaluation."""
        spec = EvaluateSpec(artifact=self.build(model, "fp32").digest, dataset="in1k")
        task = prepare(spec, self.url)
        context = self.context()
        shards.compute(task, task.shards(), context, lambda done, correct: None, lambda: None)
        row = record.record_complete(task, context)
        assert row.top1_count is not None
        assert row.top5_count is not None
        return row.top1_count, row.top5_count

    def class_folders(self, images: int) -> Path:
        """The photographs in the layout of timm: one folder of symbolic links per class."""
        root = self.folder / f"classes-{images}"
        for name in self.index.files[:images]:
            folder = root / name.split("_")[0]
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / name).exists():
                (folder / name).symlink_to(self.index.root / name)
        return root
