"""Predictions of another machine become an evaluation, or one sentence that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from db.enums import Precision
from db.models import Evaluation, ImportedBuild
from db.session import reading
from engine.datasets.label_files import LabelOptions
from engine.datasets.registration import check_folder, register
from engine.errors import InvalidRequest, LabelsMismatch
from engine.evaluation.metrics import compute_metrics
from engine.evaluation.per_image import load_per_image
from engine.imports.evaluation import OutsideEvaluation, import_evaluation
from engine.results import results_frame
from engine.results.precision_pairs import precision_pairs
from tests.support.tiny import image_folder

CLASSES, PER_CLASS = 10, 20
N = CLASSES * PER_CLASS


def scores(seed: int = 0, right: float = 0.7) -> np.ndarray:
    """Logits (N, CLASSES) of a model that is right on about `right` of its images."""
    random = np.random.default_rng(seed)
    table = random.normal(0, 1, (N, CLASSES)).astype(np.float32)
    table[np.arange(N), truth()] += np.where(random.random(N) < right, 6, 0)
    return table


def truth() -> np.ndarray:
    return np.arange(N) // PER_CLASS


def asked(file: Path, **more: Any) -> OutsideEvaluation:
    given = {
        "file": file,
        "model_id": "timm/seresnet50",
        "precision": Precision.FP32,
        "source": "card X",
        "dataset": "elsewhere",
        "per_class": PER_CLASS,
    }
    return OutsideEvaluation(**{**given, **more})


def written(folder: Path, kind: str) -> Path:
    path = folder / f"predictions.{kind.split()[0]}"
    table = scores()
    top = np.argsort(-table, axis=1)[:, :5]
    if kind == "npz top5":
        np.savez(path, top5=top.astype(np.int16))
    elif kind == "npz scores":
        np.savez(path, logits=table)
    elif kind == "npz":
        np.savez(path, top5=top)
    elif kind == "npy":
        np.save(path, top)
    elif kind == "csv":
        frame = pd.DataFrame({f"top{i + 1}": top[:, i] for i in range(5)})
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame = pd.DataFrame({f"score_{i}": table[:, i] for i in range(CLASSES)})
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["npz top5", "npz scores", "npy", "csv", "parquet"])
def test_every_kind_of_file_gives_the_same_counts(url: str, tmp_path: Path, kind: str) -> None:
    row, known = import_evaluation(asked(written(tmp_path, kind)), url)
    order = np.argsort(-scores(), axis=1)
    assert not known
    assert row.top1_count == int((order[:, 0] == truth()).sum())
    assert row.top5_count == int((order[:, :5] == truth()[:, None]).any(axis=1).sum())
    assert (row.artifact_digest, row.environment_digest, row.preprocess) == (None, None, None)


def test_scores_keep_what_only_scores_can_tell(url: str, tmp_path: Path) -> None:
    row, _ = import_evaluation(asked(written(tmp_path, "npz scores")), url)
    known = compute_metrics(load_per_image(row))
    assert known.mean_rank is not None
    assert known.negative_log_likelihood is not None
    row, _ = import_evaluation(asked(written(tmp_path, "csv"), source="card Y"), url)
    unknown = compute_metrics(load_per_image(row))
    assert (unknown.mean_rank, unknown.negative_log_likelihood) == (None, None)
    assert unknown.top1 == known.top1


def test_the_same_file_twice_is_one_row(url: str, tmp_path: Path) -> None:
    first, _ = import_evaluation(asked(written(tmp_path, "npy")), url)
    again, known = import_evaluation(asked(written(tmp_path, "npy")), url)
    assert (again.id, known) == (first.id, True)
    with reading(url) as session:
        assert session.query(Evaluation).count() == 1


def test_imported_rows_stand_in_the_table_and_pair_with_their_own_source(
    url: str, tmp_path: Path
) -> None:
    for number, (precision, source) in enumerate(
        [("fp32", "card X"), ("int8", "card X"), ("int8", "card Y")]
    ):
        path = tmp_path / f"{number}.npy"
        np.save(path, np.argsort(-scores(number), axis=1)[:, :5])
        import_evaluation(asked(path, precision=Precision(precision), source=source), url)
    frame = results_frame(url)
    assert sorted(frame["origin"]) == ["imported: card X"] * 2 + ["imported: card Y"]
    assert (frame["model_id"] == "timm/seresnet50").all()
    assert frame["top1_low"].notna().all()
    pairs = precision_pairs(frame, url, "fp32", "int8")
    assert pairs["origin"].tolist() == ["imported: card X"]
    assert pairs["only_first"].iloc[0] + pairs["only_second"].iloc[0] > 0


def test_names_find_their_images_in_any_order(url: str, tmp_path: Path) -> None:
    root = image_folder(tmp_path / "flat", per_class=2, classes=1) / "class0"
    labels = tmp_path / "labels.txt"
    labels.write_text("000.png 0\n001.png 7\n")
    register("flat", check_folder(root, LabelOptions(labels), lambda done, total: None), url)
    path = tmp_path / "p.csv"
    path.write_text("image,prediction\nval/001.png,7\nval/000.png,3\n")
    row, _ = import_evaluation(asked(path, dataset="flat", per_class=None), url)
    assert load_per_image(row).correct.tolist() == [False, True]
    assert (row.top1_count, row.top5_count) == (1, None), "only the best class is known"


def test_a_background_class_is_taken_off(url: str, tmp_path: Path) -> None:
    path = tmp_path / "p.npy"
    np.save(path, np.concatenate([np.full((N, 1), 9, np.float32), scores()], axis=1))
    row, _ = import_evaluation(asked(path, background=0), url)
    assert row.top1_count == int((scores().argmax(axis=1) == truth()).sum())


@pytest.mark.parametrize(
    ("write", "more", "message"),
    [
        (lambda p: np.save(p, truth()[:-1]), {}, "199 predictions cannot be divided into classes"),
        (
            lambda p: np.save(p, np.stack([truth(), truth()], 1)),
            {},
            "row 0: a class is listed twice",
        ),
        (lambda p: np.save(p, truth() + 995), {}, "predicts classes 995 to 1004"),
        (lambda p: np.save(p, 1 + np.arange(N) * 999 // (N - 1)), {}, "start at 1: subtract 1"),
        (lambda p: np.save(p, np.full((N, 10), np.nan)), {}, "row 0: a score is not a finite"),
        (lambda p: np.save(p, np.array([{}] * N)), {}, "cannot be read as .npy"),
        (lambda p: p.write_bytes(b"\x93NUMPY"), {}, "cannot be read as .npy"),
        (lambda p: p.write_bytes(b""), {}, "cannot be read as .npy"),
        (lambda p: None, {}, "There is no file"),
        (lambda p: np.save(p, truth()), {"per_class": None}, "the images have no labels"),
        (lambda p: np.save(p, truth()), {"model_id": "mmcls/none"}, "There is no model"),
        (lambda p: np.save(p, truth()), {"source": " "}, "source of an import is empty"),
        (lambda p: np.save(p, truth()), {"source": "a\0"}, "cannot be printed"),
        (lambda p: np.save(p, truth()), {"environment": {"a": float("nan")}}, "finite number"),
        (lambda p: np.save(p, truth()), {"dataset": "a\x1b[1m"}, "cannot be printed"),
        (lambda p: np.save(p, truth()), {"model_id": "timm/../../etc"}, "looks like a path"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_leaves_nothing(
    url: str, tmp_path: Path, write: Any, more: dict[str, Any], message: str
) -> None:
    path = tmp_path / "p.npy"
    write(path)
    with pytest.raises(InvalidRequest, match=message) as caught:
        import_evaluation(asked(path, **more), url)
    assert "\n" not in str(caught.value)
    with reading(url) as session:
        assert session.query(Evaluation).count() == 0
        assert session.query(ImportedBuild).count() == 0


@pytest.mark.parametrize(
    ("predicted", "explanation"),
    [
        (lambda: (truth() + 1) % CLASSES, "predictions count from 1"),
        (lambda: (truth() - 1) % CLASSES, "labels count from 1"),
        (
            lambda: np.random.default_rng(3).permutation(np.arange(CLASSES) + 20)[truth()],
            "in another order",
        ),
        (
            lambda: np.random.default_rng(3).integers(0, 900, N),
            "The labels or the class order do not match",
        ),
    ],
)
def test_predictions_at_chance_are_stopped_with_the_likely_cause(
    url: str, tmp_path: Path, predicted: Any, explanation: str
) -> None:
    path = tmp_path / "p.npy"
    np.save(path, predicted())
    with pytest.raises(LabelsMismatch, match=rf"which is chance level.*{explanation}"):
        import_evaluation(asked(path), url)


def test_labels_that_differ_from_the_datasets_are_named(url: str, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, predictions=truth(), label=truth()[::-1])
    with pytest.raises(InvalidRequest, match="another label than elsewhere for"):
        import_evaluation(asked(path), url)
