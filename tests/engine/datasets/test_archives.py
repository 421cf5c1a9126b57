"""Datasets as zip files: within limits, confined, whole or not at all; renamed and removed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from db.enums import JobKind, JobStatus
from db.models import Evaluation
from db.session import reading
from engine.config import settings
from engine.datasets import archives
from engine.datasets.archives import extract_dataset, remove_extracted
from engine.datasets.available import AvailableDatasets
from engine.datasets.manage import (
    remove_dataset,
    rename_dataset,
    uses_of,
)
from engine.datasets.registration import find_dataset
from engine.errors import DatasetInvalid, InvalidRequest
from tests.support import rows


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)
    return path


def test_images_and_labels_are_extracted_and_the_rest_is_left(home: Path, tmp_path: Path) -> None:
    files = {
        "val/n01440764/a.jpg": b"a",
        "val/val_label.txt": b"a.jpg 0",
        "val/run.sh": b"x",
        "__MACOSX/val/._a.jpg": b"x",
    }
    folder = extract_dataset(zipped(tmp_path / "v.zip", **files))
    assert folder.name == "val"
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == ["n01440764/a.jpg", "val_label.txt"]
    assert extract_dataset(tmp_path / "v.zip") == folder, "once"
    assert not remove_extracted(tmp_path), "not a folder of the user"
    assert remove_extracted(folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"../../a.jpg": b"a"}, "leaves its folder"),
        ({"/etc/a.jpg": b"a"}, "leaves its folder"),
        ({"a.exe": b"a"}, "no image"),
        ({"a.jpg": b"0" * 2_000_000}, "compressed too far"),
    ],
)
def test_hostile_archives_leave_nothing(
    home: Path, tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    with pytest.raises(DatasetInvalid, match=words):
        extract_dataset(zipped(tmp_path / "v.zip", **files))
    assert not list((settings().home / "uploads" / "datasets").iterdir())


def test_too_many_files_and_no_zip_are_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    with pytest.raises(DatasetInvalid, match="at most 1 files"):
        extract_dataset(zipped(tmp_path / "v.zip", **{"a/a.jpg": b"a", "a/b.jpg": b"b"}))
    (tmp_path / "n.zip").write_bytes(b"no zip")
    with pytest.raises(DatasetInvalid, match="no readable zip"):
        extract_dataset(tmp_path / "n.zip")


def test_a_dataset_is_renamed_and_removed_with_what_rests_on_it(url: str) -> None:
    rows.add_measured_model(url)
    name = "val"
    dataset = find_dataset(name, url)
    with reading(url) as session:
        evaluations = session.query(Evaluation).filter_by(dataset_digest=dataset.digest).count()
    assert uses_of(dataset, url).evaluations == evaluations
    rename_dataset(name, "imagenet", url)
    rows.add_dataset(url, "other")
    for wrong in ("other", "demo", "no name"):
        with pytest.raises(InvalidRequest, match=wrong):
            rename_dataset("imagenet", wrong, url)
    job = {"kind": JobKind.EVALUATE, "params": {"dataset": "imagenet"}}
    rows.add_job(url, JobStatus.QUEUED, "Evaluate x", **job)
    with pytest.raises(InvalidRequest, match="Evaluate x"):
        remove_dataset("imagenet", url)
    remove_dataset("other", url)
    with pytest.raises(DatasetInvalid):
        find_dataset("other", url)


def test_datasets_in_preparation_are_known_by_name(url: str) -> None:
    params = {"name": "val2", "root": "/images"}
    rows.add_job(url, JobStatus.QUEUED, "Dataset", kind=JobKind.PREPARE_DATASET, params=params)
    assert AvailableDatasets.read(url).preparing["val2"].root == "/images"
