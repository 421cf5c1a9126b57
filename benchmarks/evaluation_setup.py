"""What the evaluation benchmark measures on: a home, the photographs, builds, and single passes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np

from benchmarks.rates import BATCH, Rate, Stretch, parallel_rate
from db.enums import Precision, WeightsKind
from db.models import Artifact
from engine.build import job as build
from engine.catalog.models import find_model
from engine.common import environment
from engine.config import settings
from engine.datasets import pixel_cache
from engine.datasets.decoding import Decoders
from engine.datasets.reader import DatasetIndex, open_index
from engine.datasets.registration import check, register
from engine.evaluation import record, shards
from engine.evaluation.pipeline import in_flight, threads_each
from engine.evaluation.task import Task, prepare
from engine.export import job as export
from engine.jobs.context import JobContext
from engine.preprocess import PreprocessSpec
from engine.runtimes.onnx_runtime import OnnxRuntime
from engine.specs import BuildSpec, CalibrationSpec, EvaluateSpec, ExportSpec, WeightsSpec
from engine.store import artifacts
from engine.store.database import prepare_database

INFERENCE_BATCHES = 12
FIRST_BATCHES = 4


class Alone(JobContext):
    """A job's context without a job."""

    def _write(self, values: dict[str, object]) -> None:
        pass


class Workbench:
    """A home with the photographs registered; builds are made once."""

    def __init__(self, real_data: Path, folder: Path) -> None:
        settings.cache_clear()
        self.url, self.folder, self.photographs = prepare_database(), folder, real_data
        self.real_weights = real_data / "weights" / "tf_mobilenetv3_small_100.safetensors"
        images = real_data / "imagenet_1000"
        self.dataset = register("in1k", check(images, None, lambda done, total: None), self.url)
        self.index = open_index(self.dataset)
        self.threads = settings().threads
        self._built: dict[tuple[str, str], Artifact] = {}

    def context(self) -> Alone:
        """A context whose workspace is new."""
        workspace = Path(self.folder / f"work-{time.monotonic_ns()}")
        workspace.mkdir()
        return Alone(self.url, None, 1, workspace)  # type: ignore[arg-type]

    def build(self, model: str, precision: str) -> Artifact:
        """The build of a model; with real weights for the counted one, random for the other."""
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
        """How the images of a model are prepared."""
        known = find_model(model).preprocess
        return known or artifacts.preprocess_of(self.build(model, "fp32"))

    def clear_cache(self) -> None:
        """No prepared image is kept."""
        pixel_cache.clear()

    def decoding_rate(self, images: int) -> Rate:
        """Images a second that all cores decode and prepare, doing nothing else."""
        spec = self.preprocess_of("timm/seresnet50")
        decoders = Decoders(self.index, spec, BATCH, None, self.threads, 10**6)
        try:
            some = np.arange(BATCH)
            decoders.wait(decoders.fill(0, some, np.ones(BATCH, bool)))
            stretch = Stretch()
            futures = [
                future
                for start in range(0, images - BATCH + 1, BATCH)
                for future in decoders.fill(0, some + start, np.ones(BATCH, bool))
            ]
            decoders.wait(futures)
            return stretch.rate(images // BATCH * BATCH)
        finally:
            decoders.close()

    def inference_rate(self, artifact: Artifact) -> Rate:
        """Images a second of inference alone, on inputs made before."""
        path = artifacts.model_path(artifact.digest)
        model = OnnxRuntime(path, "CPUExecutionProvider", threads_each(self.threads))
        side = artifacts.preprocess_of(artifact).crop
        inputs = np.random.default_rng(0).normal(size=(BATCH, 3, side, side)).astype(np.float32)
        parallel = in_flight(self.threads)
        parallel_rate(lambda _: model.run(inputs), parallel, parallel)
        return parallel_rate(lambda _: model.run(inputs), parallel, INFERENCE_BATCHES)

    def task(self, artifact: Artifact, images: int) -> Task:
        """An evaluation of so many images; beyond the photographs there are, they come again."""
        again = -(-images // len(self.index))
        index = DatasetIndex(
            name=self.index.name,
            digest=self.index.digest if again == 1 else f"{self.index.digest[:60]}x{again:03d}",
            root=self.index.root,
            files=self.index.files * again,
            labels=np.tile(self.index.labels, again),
            classes=self.index.classes,
        )
        spec = EvaluateSpec(artifact=artifact.digest, dataset="in1k", batch=BATCH, limit=images)
        preprocess = artifacts.preprocess_of(artifact)
        return Task(
            spec, artifact, index, np.arange(images), preprocess, environment.observe_machine()
        )

    def evaluation_rate(self, artifact: Artifact, images: int) -> tuple[Rate, Rate]:
        """The rate of a pass once its first batches are done, and of all from start to end.

        The whole includes starting processes, loading the model and writing the shards.
        """
        task = self.task(artifact, images)
        shutil.rmtree(task.folder, ignore_errors=True)
        steady: list[Stretch] = []
        ended: list[Rate] = []

        def seen(done: int, right: int) -> None:
            if done == FIRST_BATCHES * BATCH:
                steady.append(Stretch())
            elif done == images:
                ended.append(steady[0].rate(images - FIRST_BATCHES * BATCH))

        whole = Stretch()
        shards.compute(task, task.shards(), self.context(), seen, lambda: None)
        total = whole.rate(images)
        shutil.rmtree(task.folder, ignore_errors=True)
        return ended[0], total

    def counts(self, model: str) -> tuple[int, int]:
        """(top-1, top-5) of a real evaluation."""
        asked = EvaluateSpec(artifact=self.build(model, "fp32").digest, dataset="in1k")
        task = prepare(asked, self.url)
        context = self.context()
        shards.compute(task, task.shards(), context, lambda done, right: None, lambda: None)
        row = record.record_complete(task, context)
        assert row.top1_count is not None
        assert row.top5_count is not None
        return row.top1_count, row.top5_count

    def class_folders(self, images: int) -> Path:
        """The photographs as timm wants them: a folder a class, of links."""
        root = self.folder / f"classes-{images}"
        for name in self.index.files[:images]:
            folder = root / name.split("_")[0]
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / name).exists():
                (folder / name).symlink_to(self.index.root / name)
        return root
