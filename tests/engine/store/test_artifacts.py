"""The store: content decides the digest, files appear whole, what is gone is named."""

from __future__ import annotations

import shutil

import pytest

from db.enums import Precision
from engine.config import settings
from engine.errors import ArtifactMissing
from engine.store import artifacts
from tests.support.tiny import store_build, tiny_se_model


def test_equal_content_is_one_artifact(url: str) -> None:
    first = store_build(url, tiny_se_model())
    second = store_build(url, tiny_se_model())
    assert first.digest == second.digest
    assert [p.name for p in (settings().home / "artifacts").iterdir()] == [first.digest]


def test_other_weights_or_another_protocol_are_other_artifacts(url: str) -> None:
    digests = {
        store_build(url, tiny_se_model()).digest,
        store_build(url, tiny_se_model(seed=1)).digest,
    }
    shutil.rmtree(settings().home / "tmp" / "made", ignore_errors=True)
    digests.add(store_build(url, tiny_se_model(), background=0).digest)
    assert len(digests) == 3


def test_an_artifact_whose_files_are_gone_is_built_again(url: str) -> None:
    artifact = store_build(url, tiny_se_model())
    assert artifacts.find_by_recipe(artifact.recipe, url) is not None
    shutil.rmtree(artifacts.folder_of(artifact.digest))
    assert artifacts.find_by_recipe(artifact.recipe, url) is None
    with pytest.raises(ArtifactMissing, match=artifact.digest[:12]):
        artifacts.model_path(artifact.digest)


def test_a_digest_may_be_shortened_while_it_is_clear(url: str) -> None:
    artifact = store_build(url, tiny_se_model(), Precision.INT8)
    assert artifacts.find_by_digest(artifact.digest[:8], url).digest == artifact.digest
    with pytest.raises(ArtifactMissing, match="No artifact starts"):
        artifacts.find_by_digest("ffffffff", url)
    with pytest.raises(ArtifactMissing, match="No artifact starts"):
        artifacts.find_by_digest("%", url)
