"""Two evaluations image by image, on numbers that can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from db.models import Evaluation
from db.session import writing
from engine.config import settings
from engine.datasets import imagenet
from engine.datasets.reader import DatasetIndex, class_name, open_index_by_digest
from engine.errors import ArtifactMissing, DatasetInvalid, InvalidRequest
from engine.evaluation.flips import find_flips
from tests.support import rows

LABELS = np.array([0, 0, 1, 1, 2, 2], np.int32)
FIRST = np.array([0, 0, 1, 1, 2, 0], np.int32)
SECOND = np.array([0, 1, 1, 1, 0, 2], np.int32)


@pytest.fixture
def ids(url: str) -> tuple[int, int]:
    """fp32 as FIRST says, int8 as SECOND says."""
    rows.add_measured_model(url, right={"fp32": 800, "int8": 790})
    with writing(url) as session:
        found = session.query(Evaluation).order_by(Evaluation.id).all()
        for row, said, sure in zip(found, (FIRST, SECOND), (0.5, 0.9), strict=True):
            path = settings().home / row.per_image_path
            np.savez(
                path,
                image=np.arange(6, dtype=np.int32),
                label=LABELS,
                top5=np.tile(said[:, None], (1, 5)),
                top5_probability=np.full((6, 5), sure, np.float32),
                rank=np.where(said == LABELS, 0, 1).astype(np.int32),
            )
        return found[0].id, found[1].id


def test_flips_are_counted_by_class_and_image(url: str, ids: tuple[int, int]) -> None:
    found = find_flips(*ids, url)
    assert found.images == 6
    assert found.lost["image"].tolist() == [1, 4]
    assert found.gained["image"].tolist() == [5]
    assert found.lost["second"].tolist() == [1, 0]
    worst = found.classes.iloc[0]
    assert (worst["label"], worst["first"], worst["second"]) == (0, 100.0, 50.0)
    by_label = found.classes.set_index("label")
    assert by_label.loc[2, ["first", "second", "lost", "gained"]].tolist() == [50, 50, 1, 1]
    assert found.confusions["images"].tolist() == [1, 1]
    assert found.changed.empty


def test_images_that_are_wrong_in_both_in_another_way_are_listed(
    url: str, ids: tuple[int, int]
) -> None:
    with writing(url) as session:
        path = settings().home / session.get(Evaluation, ids[1]).per_image_path
    columns = dict(np.load(path))
    columns["top5"][5] = 1  # as FIRST another class than its label, 2
    columns["rank"][5] = 1
    np.savez(path, **columns)
    found = find_flips(*ids, url)
    assert found.changed[["image", "first", "second"]].to_numpy().tolist() == [[5, 0, 1]]
    assert found.gained.empty


def test_different_images_are_refused(url: str, ids: tuple[int, int]) -> None:
    with writing(url) as session:
        row = session.get(Evaluation, ids[1])
        path = settings().home / row.per_image_path
    columns = dict(np.load(path))
    np.savez(path, **{**columns, "image": columns["image"] + 1})
    with pytest.raises(InvalidRequest, match="have different images"):
        find_flips(*ids, url)


def test_files_that_are_gone_are_named(url: str, ids: tuple[int, int]) -> None:
    with writing(url) as session:
        path = settings().home / session.get(Evaluation, ids[0]).per_image_path
    path.unlink()
    with pytest.raises(ArtifactMissing, match="evaluate again"):
        find_flips(*ids, url)


def test_a_dataset_that_is_gone_is_a_sentence(url: str) -> None:
    with pytest.raises(DatasetInvalid, match="no longer registered"):
        open_index_by_digest("0" * 64, url)


def test_classes_are_named_as_people_call_them() -> None:
    wnid = next(name for name, place in imagenet.wnid_to_index().items() if place == 0)
    index = DatasetIndex("x", "d", Path(), (), np.zeros(0, np.int32), (wnid, "own"))
    assert class_name(index, 0) == imagenet.class_names()[0].partition(",")[0]
    assert class_name(index, 1) == "own"
    assert class_name(index, 7) == "class 7"
    assert class_name(None, 3) == "class 3"
