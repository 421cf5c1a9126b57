"""What may be compared: one rule, whether two stored rows or a whole table are asked about."""

from __future__ import annotations

import pandas as pd
import pytest

from db.models import Evaluation
from engine.catalog.models import find_model
from engine.evaluation import comparability
from engine.evaluation.comparability import Differs, add_exclusion_reasons, why_not_comparable
from engine.preprocess import PreprocessSpec
from engine.preprocess.protocols import VENDOR
from engine.specs.comparability import SAME_CONDITIONS, SAME_IMAGES, SWEPT

A, B = "timm/seresnet50", "timm/legacy_senet154"
Told = tuple[str, PreprocessSpec | None, str | None]


def own(model_id: str) -> PreprocessSpec:
    published = find_model(model_id).preprocess
    assert published is not None
    return published


X, Y = PreprocessSpec(crop=192), PreprocessSpec(crop=200)
CASES: list[tuple[list[Told], list[int]]] = [
    ([(A, own(A), "published"), (B, own(B), "published")], []),
    ([(A, own(A), None), (B, own(B), "published")], []),
    ([(A, own(A), "published"), (B, VENDOR, "vendor")], [1]),
    ([(A, VENDOR, "vendor"), (B, VENDOR, "vendor")], []),
    ([(A, own(A), "published"), (A, VENDOR, "vendor")], [1]),
    ([(A, own(A), "published"), (A, VENDOR, "the export's own")], [1]),
    ([(A, own(A), "published"), (B, None, None)], []),
    ([("onnx/x", X, None), ("onnx/y", X, None), ("onnx/z", Y, None)], [2]),
]


def table(evaluated: list[Told]) -> pd.DataFrame:
    rows = [
        (model, spec.summary() if spec else "not stated", preparation)
        for model, spec, preparation in evaluated
    ]
    columns = ["model_id", "preprocess", "preparation"]
    return pd.DataFrame(rows, columns=columns).assign(top1=80.0)


@pytest.mark.parametrize(("evaluated", "excluded"), CASES)
def test_who_is_not_compared_with_the_others(evaluated: list[Told], excluded: list[int]) -> None:
    found = add_exclusion_reasons(table(evaluated))
    assert found.index[found["not_comparable"].notna()].tolist() == excluded
    for place in excluded:
        spec = evaluated[place][1]
        assert spec is not None
        assert found.loc[place, "not_comparable"].startswith(f"prepared with {spec.summary()}")


def row(number: int, told: Told) -> Evaluation:
    model_id, spec, preparation = told
    return Evaluation(
        id=number,
        artifact_digest=model_id,
        dataset_name="val",
        dataset_digest="d" * 64,
        images=100,
        images_planned=100,
        images_digest="i" * 64,
        label_set="dataset",
        preprocess=spec.to_dict() if spec else None,
        protocol={"preprocessing": preparation},
    )


@pytest.mark.parametrize(("evaluated", "excluded"), [case for case in CASES if len(case[0]) == 2])
def test_two_rows_are_judged_as_the_table_judges_them(
    monkeypatch: pytest.MonkeyPatch, evaluated: list[Told], excluded: list[int]
) -> None:
    monkeypatch.setattr(comparability, "_model_of", lambda row, url: row.artifact_digest)
    first, second = (row(number, told) for number, told in enumerate(evaluated, 1))
    for one, other in ((first, second), (second, first)):
        reason = why_not_comparable(one, other, "")
        assert (reason is not None) == bool(excluded)
        assert reason is None or reason.differs == Differs.PREPROCESSING


def test_rows_without_accuracy_are_left_alone() -> None:
    evaluated: list[Told] = [(A, own(A), "published"), (A, VENDOR, "vendor")]
    assert add_exclusion_reasons(table(evaluated).assign(top1=None))["not_comparable"].isna().all()


@pytest.mark.parametrize("name", SAME_IMAGES)
def test_every_key_of_same_images_has_its_sentence(name: str) -> None:
    told: Told = (A, VENDOR, "vendor")
    first, second = row(1, told), row(2, told)
    assert why_not_comparable(first, second, "") is None
    setattr(second, name, 50 if name == "images" else "x" * 64)
    reason = why_not_comparable(first, second, "")
    assert reason is not None
    assert reason.differs in (Differs.IMAGES, Differs.LABELS)
    assert reason.sentence.startswith("Evaluations 1 and 2 are ")
    assert reason.sentence.count(". ") == 0


def test_a_row_that_does_not_state_its_images_is_not_refused_for_it() -> None:
    first, second = row(1, (A, VENDOR, None)), row(2, (A, VENDOR, None))
    first.images_digest = None
    assert why_not_comparable(first, second, "") is None


def test_a_sweep_varies_conditions() -> None:
    assert set(SWEPT) < set(SAME_CONDITIONS)
