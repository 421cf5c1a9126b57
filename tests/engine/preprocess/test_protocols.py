"""How images are prepared is chosen by name, used, and recorded with what came of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from db.enums import Precision
from db.models import Evaluation
from db.session import reading
from engine.build.lookup import published_of
from engine.catalog.models import find_model
from engine.cli.parsing import read_preprocess
from engine.errors import InvalidRequest
from engine.evaluation import job as evaluation
from engine.export.job import preprocessing_for
from engine.preprocess import PreprocessSpec, Resizer
from engine.preprocess.protocols import VENDOR, Protocol, protocol_name
from engine.runs.plan import plan
from engine.runs.request import RunRequest, Task
from engine.runs.submit import submit
from engine.specs import EvaluateSpec, ExportSpec
from tests.support.tiny import (
    PREPROCESS,
    Quiet,
    image_folder,
    labeled_by,
    store_build,
    tiny_se_model,
)

OTHER = PREPROCESS.to_dict() | {"resize": 18}


def given(**options: Any) -> dict[str, Any] | None:
    return read_preprocess(options.pop("path", None), **options)


def test_the_vendor_squashes_with_opencv() -> None:
    prepared = given(protocol=Protocol.VENDOR)
    assert prepared is not None
    spec = PreprocessSpec.from_dict(prepared)
    assert spec == VENDOR
    assert spec.summary().startswith("squashed to 256 x 256 bilinear (opencv), center crop 224")


def test_published_is_the_rows_own_and_custom_the_options() -> None:
    assert given(protocol=Protocol.PUBLISHED) is None
    assert given() is None
    custom = {"resize": 292, "crop": 256, "resizer": "opencv", "resize_mode": "squash"}
    assert given(protocol=Protocol.CUSTOM, **custom) == given(**custom) == custom


@pytest.mark.parametrize("protocol", [Protocol.PUBLISHED, Protocol.VENDOR])
def test_a_named_protocol_leaves_nothing_open(protocol: Protocol) -> None:
    with pytest.raises(InvalidRequest, match=f"--protocol {protocol} fixes all settings.*crop"):
        given(protocol=protocol, crop=288)


def test_custom_needs_its_settings() -> None:
    with pytest.raises(InvalidRequest, match="needs at least one setting"):
        given(protocol=Protocol.CUSTOM)


def test_what_is_left_open_is_as_published() -> None:
    model = find_model("ppcls/seresnet50")
    assert model.preprocess is not None
    spec = ExportSpec(model_id=model.id, preprocess={"resizer": "pillow"})
    asked = preprocessing_for(model, spec, nn.Identity())
    assert asked == replace(model.preprocess, resizer=Resizer.PILLOW)
    whole = ExportSpec(model_id=model.id, preprocess=asked.to_dict())
    assert preprocessing_for(model, whole, nn.Identity()) == asked
    assert whole.fingerprint() != spec.fingerprint(), (
        "what is left open may mean another thing tomorrow"
    )


def test_timm_says_what_is_left_open_for_models_outside_the_catalog() -> None:
    module = nn.Identity()
    module.pretrained_cfg = {"input_size": (3, 288, 288), "crop_pct": 0.96, "mean": (0.5,) * 3}
    spec = ExportSpec(model_id="timm/unlisted", preprocess={"crop": 192})
    asked = preprocessing_for(replace(find_model("demo/senet"), source="timm"), spec, module)
    assert (asked.resize, asked.crop, asked.mean) == (200, 192, (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("given", "resize"), [({"crop": 288}, 329), ({"crop": 288, "resize": 288}, 288), ({}, 256)]
)
def test_another_crop_keeps_its_share_of_the_image(given: dict[str, int], resize: int) -> None:
    changed = PreprocessSpec(resize=256, crop=224).with_overrides(given)
    assert (changed.resize, changed.crop) == (resize, given.get("crop", 224))
    assert PreprocessSpec(resize=None, crop=32).with_overrides({"crop": 64}).resize is None


def test_protocols_are_named_by_what_they_do() -> None:
    published = find_model("ppcls/senet154").preprocess
    assert published is not None
    assert protocol_name(published, published) is Protocol.PUBLISHED
    assert protocol_name(VENDOR, published) is Protocol.VENDOR
    assert protocol_name(PREPROCESS, published) is Protocol.CUSTOM


def test_an_evaluation_may_prepare_otherwise_and_records_which(url: str, tmp_path: Path) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set"), url)
    build = store_build(url, tiny_se_model(), Precision.FP32)
    names = []
    for number, preprocess in enumerate((None, OTHER)):
        spec = EvaluateSpec(artifact=build.digest, dataset="tiny", preprocess=preprocess)
        done = evaluation.run(spec.to_json(), Quiet(url, tmp_path / str(number)))
        with reading(url) as session:
            row = session.get(Evaluation, done["evaluation"])
        assert row is not None
        assert row.preprocess == (preprocess or PREPROCESS.to_dict())
        names.append(row.protocol["preprocessing"])
    assert names == ["the export's own", "custom"]


def test_images_of_another_size_than_the_export_takes_are_refused(url: str, tmp_path: Path) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set", per_class=1), url)
    build = store_build(url, tiny_se_model(), Precision.FP32)
    spec = EvaluateSpec(artifact=build.digest, dataset="tiny", preprocess=VENDOR.to_dict())
    with pytest.raises(InvalidRequest, match=r"exported for 16 x 16 pixels.*at 224 x 224"):
        evaluation.run(spec.to_json(), Quiet(url, tmp_path / "a"))
    with pytest.raises(InvalidRequest, match="not in the catalog"):
        published_of(build.digest, url)


def test_a_run_carries_the_evaluations_protocol_to_its_jobs(url: str) -> None:
    from db.models import Job

    request = RunRequest(
        model_id="timm/seresnet50",
        dataset="demo",
        precisions=(Precision.FP32,),
        tasks=(Task.EVALUATE,),
        evaluation_preprocess=VENDOR.to_dict(),
    )
    assert any(
        "a preprocessing other than that of the export" in step for step in plan(request, url).steps
    )
    submit(request, url)
    with reading(url) as session:
        jobs = {job.kind: job.params for job in session.query(Job)}
    assert jobs["export"]["preprocess"] is None
    assert jobs["evaluate"]["preprocess"] == VENDOR.to_dict()
    assert jobs["evaluate"]["build"]["export"]["preprocess"] is None


def test_a_run_at_two_sizes_is_refused_before_anything_is_queued(url: str) -> None:
    request = RunRequest(
        model_id="timm/seresnext101_32x8d",
        dataset="demo",
        tasks=(Task.EVALUATE,),
        evaluation_preprocess=VENDOR.to_dict(),
    )
    problems = plan(request, url).problems
    assert any("exported for 288 x 288 pixels" in problem for problem in problems)
    whole = request.model_copy(
        update={"preprocess": VENDOR.to_dict(), "evaluation_preprocess": None}
    )
    assert plan(whole, url).problems == ()
