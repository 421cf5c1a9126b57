"""The mean over a dataset is that of its images one by one, is kept, and is made by a job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from db.models import Artifact, Dataset
from engine.datasets.registration import find_dataset
from engine.errors import DatasetInvalid
from engine.excitations.job import compute_mean, load_mean, run
from engine.excitations.per_image import Excitations
from engine.preprocess import open_image, preprocess
from engine.specs import ExcitationsSpec
from tests.support.tiny import (
    PREPROCESS,
    Quiet,
    image_folder,
    labeled_by,
    store_build,
    tiny_se_model,
)


@pytest.fixture
def folder(url: str, tmp_path: Path) -> Path:
    found = image_folder(tmp_path / "set")
    labeled_by(tiny_se_model(), found, url)
    return found


@pytest.fixture
def build(url: str) -> Artifact:
    return store_build(url, tiny_se_model())


@pytest.fixture
def dataset(url: str, folder: Path) -> Dataset:
    return find_dataset("tiny", url)


def test_it_is_the_mean_of_the_images_one_by_one(
    build: Artifact, dataset: Dataset, folder: Path
) -> None:
    network = Excitations(build)
    seen = []
    found = compute_mean(network, dataset, 1000, lambda done, total: seen.append((done, total)))
    paths = sorted(folder.rglob("*.png"))
    single = [
        network.batch_weights(preprocess(open_image(path), PREPROCESS)[None]) for path in paths
    ]
    assert found.images == len(paths)
    assert seen[-1] == (len(paths), len(paths))
    assert found.values[0] == pytest.approx(
        np.mean([gates[0][0] for gates in single], axis=0), abs=1e-5
    )


def test_a_job_makes_it_once(
    build: Artifact, dataset: Dataset, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_mean(build, dataset, 5) is None
    asked = ExcitationsSpec(
        artifact=build.digest, dataset="tiny", dataset_digest=dataset.digest, images=5
    )
    assert run(asked.to_json(), Quiet(url, tmp_path / "one")) == {"images": 5, "blocks": 1}
    kept = load_mean(build, dataset, 5)
    assert kept is not None
    assert kept.values[0].shape == (8,)
    monkeypatch.setattr("engine.excitations.job.compute_mean", lambda *_: pytest.fail("made again"))
    run(asked.to_json(), Quiet(url, tmp_path / "two"))


def test_a_dataset_that_changed_meanwhile_is_not_taken_for_the_old_one(
    build: Artifact, dataset: Dataset, url: str, tmp_path: Path
) -> None:
    asked = ExcitationsSpec(artifact=build.digest, dataset="tiny", dataset_digest="other")
    with pytest.raises(DatasetInvalid, match="registered again"):
        run(asked.to_json(), Quiet(url, tmp_path / "one"))
