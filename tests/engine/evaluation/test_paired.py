"""Two evaluations: flips, agreement, and one sentence where they cannot be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from db.enums import Precision
from db.models import Evaluation
from db.session import writing
from engine.errors import DatasetInvalid, InvalidRequest
from engine.evaluation.comparability import find_incompatibility
from engine.evaluation.label_sets import match_answers, relabel
from engine.evaluation.paired import compare
from engine.evaluation.per_image import find_evaluation
from engine.imports.evaluation import OutsideEvaluation, import_evaluation
from engine.preprocess import PreprocessSpec
from engine.results.evaluations import all_evaluations
from engine.specs.comparability import SAME_EVALUATION

N, CLASSES = 300, 10
TRUTH = np.arange(N) % CLASSES


def predictions(seed: int, right: float = 0.8) -> np.ndarray:
    random = np.random.default_rng(seed)
    other = (TRUTH + random.integers(1, CLASSES, N)) % CLASSES
    best = np.where(random.random(N) < right, TRUTH, other)
    rest = np.stack([random.permutation(np.delete(np.arange(CLASSES), b))[:4] for b in best])
    return np.concatenate([best[:, None], rest], axis=1)


def imported(url: str, tmp_path: Path, seed: int, **more: Any) -> Evaluation:
    path = tmp_path / f"{seed}.npz"
    names = np.array([f"ILSVRC2012_val_{i + 1:08d}.JPEG" for i in range(N)])
    np.savez(path, top5=predictions(seed), label=TRUTH, image=names)
    asked: dict[str, Any] = {
        "model_id": "timm/seresnet50",
        "precision": Precision.INT8,
        "source": f"card {seed}",
        "dataset": "val",
    }
    return import_evaluation(OutsideEvaluation(path, **{**asked, **more}), url)[0]


def test_flips_agreement_and_p_are_those_of_the_predictions(url: str, tmp_path: Path) -> None:
    first, second = (imported(url, tmp_path, seed) for seed in (1, 2))
    pair = compare(first.id, second.id, url)
    a, b = predictions(1)[:, 0], predictions(2)[:, 0]
    lost, gained = (a == TRUTH) & (b != TRUTH), (a != TRUTH) & (b == TRUTH)
    assert pair.difference is not None
    table = [[int(((a == TRUTH) & (b == TRUTH)).sum()), lost.sum()], [gained.sum(), 0]]
    assert pair.difference.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)
    directions = pair.flips.groupby("direction")["image"].apply(list).to_dict()
    assert directions["lost"] == np.flatnonzero(lost).tolist()
    assert directions["gained"] == np.flatnonzero(gained).tolist()
    assert pair.flips["name"].iloc[0].startswith("ILSVRC2012_val_")
    assert pair.agreement is not None
    assert pair.agreement.same == int((a == b).sum()) == N - len(pair.flips)
    interval = proportion_confint(pair.agreement.same, N, method="wilson")
    assert (pair.agreement.low, pair.agreement.high) == pytest.approx(interval)
    in_five = [(predictions(seed) == TRUTH[:, None]).any(axis=1) for seed in (1, 2)]
    lost5, gained5 = in_five[0] & ~in_five[1], ~in_five[0] & in_five[1]
    assert pair.top5_difference is not None
    assert (pair.top5_difference.only_a, pair.top5_difference.only_b) == (
        lost5.sum(),
        gained5.sum(),
    )
    exact = mcnemar([[0, lost5.sum()], [gained5.sum(), 0]], exact=True).pvalue
    assert pair.top5_difference.p_value == pytest.approx(exact)
    assert pair.remark is not None
    assert "not stated" in pair.remark


def change(url: str, row: Evaluation, **values: Any) -> None:
    with writing(url) as session:
        for name, value in values.items():
            setattr(session.get(Evaluation, row.id), name, value)


def key_in_the_table(url: str, row: Evaluation) -> tuple[object, ...]:
    frame = all_evaluations(url).set_index("evaluation_id")
    return tuple(frame.loc[row.id, list(SAME_EVALUATION)])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"dataset_digest": "f" * 64, "dataset_name": "v2"}, "images: val .* and v2"),
        (
            {"images": 200, "images_planned": 300, "top1_count": 150, "top5_count": 190},
            "200 images .*unfinished: 300 planned",
        ),
        ({"images_digest": "f" * 64}, "have different images"),
        ({"label_set": "real"}, "have different labels: dataset and real"),
        ({"preprocess": PreprocessSpec(crop=200).to_dict()}, "have different preprocessing"),
    ],
)
def test_what_differs_is_said_in_one_sentence(
    url: str, tmp_path: Path, values: dict[str, Any], sentence: str
) -> None:
    first = imported(url, tmp_path, 1, preprocess=PreprocessSpec())
    second = imported(url, tmp_path, 2, preprocess=PreprocessSpec())
    assert find_incompatibility(first, second, url) is None
    assert len({key_in_the_table(url, row) for row in (first, second)}) == 1
    change(url, second, **values)
    assert (
        find_incompatibility(find_evaluation(first.id, url), find_evaluation(second.id, url), url)
        is not None
    )
    assert len({key_in_the_table(url, row) for row in (first, second)}) == 2
    with pytest.raises(InvalidRequest, match=sentence):
        compare(first.id, second.id, url)


def test_another_preprocessing_is_compared_anyway_when_asked_for(url: str, tmp_path: Path) -> None:
    first = imported(url, tmp_path, 1, preprocess=PreprocessSpec())
    second = imported(url, tmp_path, 2, preprocess=PreprocessSpec(crop=200))
    pair = compare(first.id, second.id, url, anyway=True)
    assert pair.remark is not None
    assert "have different preprocessing" in pair.remark


def test_two_models_each_prepared_in_its_own_way_are_comparable(url: str, tmp_path: Path) -> None:
    first = imported(url, tmp_path, 1, preprocess=PreprocessSpec())
    second = imported(
        url, tmp_path, 2, model_id="timm/legacy_senet154", preprocess=PreprocessSpec(crop=200)
    )
    for row in (first, second):
        change(url, row, protocol={"preprocessing": "published"})
    assert compare(first.id, second.id, url).remark is None


def test_several_right_answers_and_none(url: str, tmp_path: Path) -> None:
    row = imported(url, tmp_path, 3)
    top = predictions(3)
    answers = [[int(TRUTH[i]), int(top[i, 0])] if i % 2 else [int(top[i, 2])] for i in range(N)]
    answers[4] = []
    path = tmp_path / "real.json"
    path.write_text(str(answers))
    made = relabel(row.id, path, "real", url)
    assert made.id != row.id
    assert (made.images, made.top1_count, made.top5_count) == (N - 1, N // 2, N - 1)
    assert made.label_set.startswith("real (")
    assert relabel(row.id, path, "real", url).id == made.id
    with pytest.raises(InvalidRequest, match="have different images"):
        compare(row.id, made.id, url)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a readable JSON"),
        ("[]", "must hold a JSON list"),
        ("5", "must hold a JSON list"),
        ("[[1], 2]", "entry 1: expected a list of class indices, found 2"),
        ("[[1], [-1]]", "entry 1"),
        ("[[1], [2]]", "is not in this label set of 2 entries"),
        ('{"a.png": [1]}', "300 of 300 images are not in the label set"),
    ],
)
def test_a_wrong_label_set_is_explained(url: str, tmp_path: Path, text: str, message: str) -> None:
    row = imported(url, tmp_path, 1)
    (tmp_path / "real.json").write_text(text)
    with pytest.raises((InvalidRequest, DatasetInvalid), match=message):
        relabel(row.id, tmp_path / "real.json", "real", url)


def test_images_of_one_name_in_several_folders_keep_their_own_answers() -> None:
    images = np.array(["a/1.jpg", "b/1.jpg", "b/2.jpg"])
    answers = {"a/1.jpg": [1], "b/1.jpg": [2], "2.jpg": [3]}
    assert match_answers(answers, images) == [[1], [2], [3]]
    with pytest.raises(InvalidRequest, match="2 of 3 images are not in the label set"):
        match_answers({"1.jpg": [1], "2.jpg": [3]}, images)
    with pytest.raises(InvalidRequest, match="1 of 1 images are not in the label set"):
        match_answers(answers, np.array(["c/1.jpg"]))


def test_an_evaluation_that_does_not_exist_is_named(url: str) -> None:
    with pytest.raises(InvalidRequest, match="no evaluation 5: `evaluation list`"):
        compare(5, 6, url)
