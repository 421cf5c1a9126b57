"""Evaluation: the counts of a plain loop, resumed to the bit, stopped where labels cannot fit."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from db.enums import Precision, WeightsKind
from db.models import Evaluation
from db.session import reading
from engine.common import scores
from engine.config import settings
from engine.datasets.imagenet import wnid_to_index
from engine.datasets.reader import open_index
from engine.datasets.registration import check_folder, register
from engine.errors import InvalidRequest, LabelsMismatch
from engine.evaluation import job as evaluation
from engine.evaluation import record, shards
from engine.evaluation.paired import compare
from engine.evaluation.per_image import load_per_image
from engine.preprocess import open_image, preprocess
from engine.results import results_frame
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import EvaluateSpec, evaluations, shard_ranges
from tests.support.tiny import (
    PREPROCESS,
    Quiet,
    image_folder,
    labeled_by,
    store_build,
    tiny_se_model,
)

BATCH = 8


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluations, "SHARD_IMAGES", 32)


def spec_of(artifact: str, **more: object) -> EvaluateSpec:
    return EvaluateSpec.model_validate(
        {"artifact": artifact, "dataset": "tiny", "batch": BATCH, **more}
    )


def run(url: str, tmp_path: Path, spec: EvaluateSpec) -> Evaluation:
    result = evaluation.run(spec.to_json(), Quiet(url, tmp_path / f"work-{uuid4().hex}"))
    with reading(url) as session:
        row = session.get(Evaluation, result["evaluation"])
    assert row is not None
    return row


def columns_of(row: Evaluation) -> dict[str, np.ndarray]:
    with np.load(settings().home / row.per_image_path) as file:
        return dict(file)


def test_counts_equal_those_of_a_plain_loop(url: str, tmp_path: Path) -> None:
    labeller, judged = tiny_se_model(seed=0), tiny_se_model(seed=5)
    dataset = labeled_by(labeller, image_folder(tmp_path / "set"), url)
    artifact = store_build(url, judged, Precision.INT8)
    row = run(url, tmp_path, spec_of(artifact.digest))

    index = open_index(dataset)
    path = settings().home / "artifacts" / artifact.digest / "model.onnx"
    model = OnnxSession(path, "CPUExecutionProvider", 1)
    outputs = np.concatenate(
        [model.run(preprocess(open_image(index.root / f), PREPROCESS)[None]) for f in index.files]
    )
    assert row.images == len(index) == 120
    assert row.top1_count == int((outputs.argmax(1) == index.labels).sum())
    assert row.top5_count == 120, "there are only four classes"
    columns = columns_of(row)
    assert np.array_equal(columns["top5"][:, 0], outputs.argmax(1))
    assert np.array_equal(columns["label"], index.labels)
    assert np.allclose(columns["top5_probability"].sum(1), 1, atol=1e-5)


def test_an_evaluation_that_was_killed_resumes_to_the_bit(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set"), url)
    artifact = store_build(url, model)
    undisturbed = columns_of(run(url, tmp_path, spec_of(artifact.digest)))

    spec = spec_of(artifact.digest)
    monkeypatch.setattr(record, "find_complete", lambda recipe, url: None)
    calls = {"shards": 0}
    write = shards._write

    def dying(*arguments: object) -> None:
        calls["shards"] += 1
        if calls["shards"] == 3:
            raise KeyboardInterrupt
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(shards, "_write", dying)
    with pytest.raises(KeyboardInterrupt):
        run(url, tmp_path, spec)
    context = Quiet(url, tmp_path / "work2")
    evaluation.run(spec.to_json(), context)
    assert calls["shards"] == 5, "120 images are four shards; two were kept, two computed again"
    assert any("64 images are already evaluated" in text for text in context.said)
    resumed = columns_of(run(url, tmp_path, spec))
    for name, column in undisturbed.items():
        assert np.array_equal(column, resumed[name]), name


def test_shard_jobs_and_the_whole_give_the_same(url: str, tmp_path: Path) -> None:
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set"), url)
    artifact = store_build(url, model)
    for start, stop in reversed(shard_ranges(120, BATCH)):
        shard = spec_of(artifact.digest, start=start, stop=stop)
        evaluation.run_shard(shard.to_json(), Quiet(url, tmp_path / f"shard{start}"))
    context = Quiet(url, tmp_path / "merge")
    evaluation.run(spec_of(artifact.digest).to_json(), context)
    assert any("120 images are already evaluated" in text for text in context.said)
    row = run(url, tmp_path, spec_of(artifact.digest))
    assert row.top1_count == 120, "the labels are the model's own answers"


def test_the_same_evaluation_is_not_computed_twice(url: str, tmp_path: Path) -> None:
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set"), url)
    spec = spec_of(store_build(url, model).digest)
    first = evaluation.run(spec.to_json(), Quiet(url, tmp_path / "a"))
    second = evaluation.run(spec.to_json(), Quiet(url, tmp_path / "b"))
    assert (first["reused"], second["reused"]) == (False, True)
    assert first["evaluation"] == second["evaluation"]


def test_a_setting_that_is_left_out_stays_as_the_export_has_it(url: str, tmp_path: Path) -> None:
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set"), url)
    artifact = store_build(url, model).digest
    row = run(url, tmp_path, spec_of(artifact, preprocess={"mean": [0.1, 0.2, 0.3]}))
    assert row.preprocess == {**PREPROCESS.to_dict(), "mean": [0.1, 0.2, 0.3]}


def test_a_limit_draws_evenly_and_says_so(url: str, tmp_path: Path) -> None:
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set"), url)
    row = run(url, tmp_path, spec_of(store_build(url, model).digest, limit=40))
    assert (row.images, row.images_in_dataset) == (40, 120)


def test_outputs_for_some_of_imagenets_classes_are_scored_as_those(
    url: str, tmp_path: Path
) -> None:
    model, wnids = tiny_se_model(), list(wnid_to_index())[100:900:200]
    own = labeled_by(model, image_folder(tmp_path / "set", per_class=8), url)
    labels, root = open_index(own).labels, tmp_path / "wnids"
    for file, label in zip(open_index(own).files, labels.tolist(), strict=True):
        place = root / wnids[label] / file.replace("/", "_")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(tmp_path / "set" / file)
    missing = sorted(set(range(4)) - set(labels.tolist()))
    for label in missing:
        (root / wnids[label]).mkdir()
    register("tiny", check_folder(root, None, lambda done, total: None), url)
    row = run(url, tmp_path, spec_of(store_build(url, model).digest))
    assert row.top1_count == row.images == 32
    assert "sorted by wnid" in row.protocol["class_matching"]
    assert row.protocol["classes"] == 4
    found = columns_of(row)
    assert set(found["label"].tolist()) <= {100, 300, 500, 700}
    assert np.array_equal(found["top5"][:, 0], found["label"])


def test_guessing_in_fp32_means_that_the_labels_do_not_fit(url: str, tmp_path: Path) -> None:
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set"), url, shift=1)
    artifact = store_build(url, model)
    with pytest.raises(LabelsMismatch, match=r"which is chance level: its labels or class order"):
        run(url, tmp_path, spec_of(artifact.digest))
    with reading(url) as session:
        assert session.query(Evaluation).count() == 0


def test_guessing_in_int8_is_recorded_as_collapsed(url: str, tmp_path: Path) -> None:
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set"), url, shift=1)
    row = run(url, tmp_path, spec_of(store_build(url, model, Precision.INT8).digest))
    assert row.at_chance
    assert row.top1_count == 0


@pytest.mark.parametrize("classes", [5, 7])
def test_another_number_of_classes_is_stopped_before_any_image(
    url: str, tmp_path: Path, classes: int
) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set"), url)
    artifact = store_build(url, tiny_se_model(classes=classes))
    with pytest.raises(LabelsMismatch, match="are not the same classes"):
        run(url, tmp_path, spec_of(artifact.digest))


def test_a_declared_background_class_is_taken_off(url: str, tmp_path: Path) -> None:
    from onnx import numpy_helper

    plain = tiny_se_model()
    labeled_by(plain, image_folder(tmp_path / "set"), url)
    with_background = tiny_se_model(classes=5)
    weights = {tensor.name: tensor for tensor in with_background.graph.initializer}
    own = {t.name: numpy_helper.to_array(t) for t in plain.graph.initializer}
    head = np.concatenate([np.full((1, 8), 3, np.float32), own["fc"]])
    for name, values in {**own, "fc": head}.items():
        weights[name].CopyFrom(numpy_helper.from_array(values, name))
    artifact = store_build(url, with_background, background=0)
    assert run(url, tmp_path, spec_of(artifact.digest)).top1_count == 120


def test_random_weights_are_never_evaluated(url: str, tmp_path: Path) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set"), url)
    artifact = store_build(url, tiny_se_model(), weights_kind=WeightsKind.RANDOM)
    with pytest.raises(InvalidRequest, match="only its speed can be measured"):
        run(url, tmp_path, spec_of(artifact.digest))


@pytest.mark.parametrize(("images", "batch"), [(1, 1), (120, 8), (100, 7), (33, 64)])
def test_shards_cover_everything_once_and_begin_at_multiples_of_the_batch(
    images: int, batch: int
) -> None:
    ranges = shard_ranges(images, batch)
    covered = [i for start, stop in ranges for i in range(start, stop)]
    assert covered == list(range(images))
    assert all(start % batch == 0 for start, _ in ranges)


def test_rank_and_top_k_agree_also_on_equal_scores() -> None:
    table = np.array([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    best = scores.top_k(table, 4)
    assert best.tolist() == [[1, 2, 0, 3], [0, 1, 2, 3]]
    for label in range(4):
        ranks = scores.rank_of(table, np.array([label, label]))
        assert ranks.tolist() == [best[0].tolist().index(label), best[1].tolist().index(label)]


def test_softmax_does_not_overflow() -> None:
    assert np.allclose(scores.softmax(np.array([[1e4, 1e4, 0.0]])), [[0.5, 0.5, 0]])


def test_what_is_finished_is_shown_as_partial(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set"), url)
    artifact = store_build(url, model)
    write = shards._write

    def dying(task: object, shard: tuple[int, int], parts: object) -> None:
        if shard[0] == 64:
            raise KeyboardInterrupt
        write(task, shard, parts)  # type: ignore[arg-type]

    monkeypatch.setattr(shards, "_write", dying)
    with pytest.raises(KeyboardInterrupt):
        run(url, tmp_path, spec_of(artifact.digest))
    row = results_frame(url).iloc[0]
    assert (row["images"], row["images_planned"], row["top1_count"]) == (64, 120, 64)
    with reading(url) as session:
        partial = session.query(Evaluation).one()
    assert len(load_per_image(partial)) == 64
    monkeypatch.undo()
    monkeypatch.setattr(evaluations, "SHARD_IMAGES", 32)
    whole = run(url, tmp_path, spec_of(artifact.digest))
    assert (whole.id, whole.images, whole.images_planned) == (partial.id, 120, 120)


def test_a_network_that_guesses_is_stopped_at_its_first_shards(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluations, "SHARD_IMAGES", 104)
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set", per_class=60), url, shift=1)
    artifact = store_build(url, model)
    context = Quiet(url, tmp_path / "work")
    with pytest.raises(LabelsMismatch, match=r"of 104 images.*labels count from 1"):
        evaluation.run(spec_of(artifact.digest).to_json(), context)
    with reading(url) as session:
        assert session.query(Evaluation).count() == 0


def test_the_number_of_threads_changes_no_bit(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_se_model()
    labeled_by(model, image_folder(tmp_path / "set"), url)
    artifact = store_build(url, model)
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("SENET_THREADS", threads)
        settings.cache_clear()
        monkeypatch.setattr(record, "find_complete", lambda recipe, url: None)
        found.append(columns_of(run(url, tmp_path, spec_of(artifact.digest))))
    for name, column in found[0].items():
        assert np.array_equal(column, found[1][name]), name


def test_images_without_labels_tell_how_far_builds_agree(url: str, tmp_path: Path) -> None:
    root = image_folder(tmp_path / "set", classes=1) / "class0"
    register("tiny", check_folder(root, None, lambda done, total: None, unlabelled=True), url)
    builds = [
        store_build(url, tiny_se_model(seed=seed), precision)
        for seed, precision in ((0, Precision.FP32), (5, Precision.INT8))
    ]
    rows = [run(url, tmp_path, spec_of(build.digest)) for build in builds]
    assert [(row.top1_count, row.label_set) for row in rows] == [(None, "none")] * 2
    pair = compare(rows[0].id, rows[1].id, url)
    best = [columns_of(row)["top5"][:, 0] for row in rows]
    assert pair.difference is None
    assert pair.agreement is not None
    assert pair.agreement.same == int((best[0] == best[1]).sum())
    assert results_frame(url)["top1"].isna().all()
