"""The digests that results are found by: literal values, so that no change of code moves them.

They were taken from the code before requests were carried by a table of fields. A digest that
changes loses every artifact and measurement made before.
"""

from __future__ import annotations

from typing import Any

import pytest

from db.enums import Precision, WeightsKind
from engine.common.digests import data_digest
from engine.preprocess.protocols import VENDOR
from engine.runs.request import DEMO, OtherModel, RunRequest
from engine.specs import (
    BenchmarkSpec,
    BuildSpec,
    CalibrationSpec,
    DatasetSpec,
    DrawsSpec,
    EvaluateSpec,
    ExcitationsSpec,
    ExportSpec,
    LayersSpec,
    MeasuredSpec,
    PeakSpec,
    ProfileSpec,
    RangeCheckSpec,
    SessionSpec,
    Spec,
    WeightsSpec,
)

FILE = WeightsSpec(
    kind=WeightsKind.FILE, path="/weights/net.pth", sha256="ab" * 32, key="state_dict_ema"
)
EXPORT = ExportSpec(model_id="timm/seresnet50")
OTHER_EXPORT = ExportSpec(
    model_id="onnx/net",
    weights=FILE,
    preprocess={"crop": 192, "mean": [0.5, 0.5, 0.5]},
    background=0,
    output="scores",
    classes=(1000, 1001),
)
TORCHSCRIPT = ExportSpec(model_id="timm/x", format="torchscript", preprocess=VENDOR.to_dict())
FP32 = BuildSpec(export=EXPORT, precision=Precision.FP32)
FP16 = BuildSpec(
    export=OTHER_EXPORT,
    precision=Precision.FP16,
    range_check=RangeCheckSpec(dataset="val", images=64, seed=3),
    softmax=True,
)
INT8 = BuildSpec(
    export=EXPORT, precision=Precision.INT8, calibration=CalibrationSpec(dataset="train")
)
OTHER_INT8 = BuildSpec(
    export=EXPORT,
    precision=Precision.INT8,
    calibration=CalibrationSpec(
        dataset="train",
        images=128,
        seed=1,
        mode="percentile",
        percentile=99.5,
        keep_in_float=(0, 4),
        float_share=0.2,
        max_drop=1.0,
        search_s=60,
        target="arm",
    ),
)
# Those of benchmarks are of windows of 0.2 s, in rounds: earlier results are not taken for them.
BENCHMARK = BenchmarkSpec(build=FP32)
SERVER = BenchmarkSpec(
    artifact="a" * 64,
    batch=8,
    threads=2,
    instances=4,
    max_s=10,
    scenario="server",
    rate_per_s=30,
    limit_ms=20,
    seed=5,
    reuse=True,
)
REQUEST = RunRequest.model_validate(
    {
        "model_id": "timm/x",
        "weights": FILE.to_json(),
        "batches": [3, 8],
        "preprocess": VENDOR.to_dict(),
        "max_drop": 0.5,
    }
)

RECIPES: dict[str, tuple[Spec, str]] = {
    "weights, pretrained": (
        WeightsSpec(),
        "90d77d480c73583a72f502eb4ee69a82e411a66066c3d17a5efe12a036fdae8f",
    ),
    "weights, file": (FILE, "cc9fe3153c6d427c42f169c7b0478f920b3037a24a0b9ec67cc8584d2d0578f3"),
    "weights, random": (
        WeightsSpec(kind=WeightsKind.RANDOM, seed=7),
        "4168e4d6c457dc506ad7ea73dc84596066b7f000268e74afe8b6b5e715dd5cdb",
    ),
    "export": (EXPORT, "4507b8a3b39a244d36fd38f60962cb54cb4ef1938cb95088d55df13d2209d801"),
    "export, all given": (
        OTHER_EXPORT,
        "7c76a2921e0f84f8be24f36f0bb84052523f1be7be4dd8df6a447076f3b8cc27",
    ),
    "export, torchscript": (
        TORCHSCRIPT,
        "bf8b473c42025b2e3359971bcf5728afbcab57dde1d716f39fb959b11abca8f1",
    ),
    "build fp32": (FP32, "57231171aeaf38db2f77b1887df7be6459d9e6b038b7448bacab55433f70a11c"),
    "build fp16, all given": (
        FP16,
        "f74ad8f6d527102ea95ee5bb3ae768e59ea08dca71e8670c7ab52b37530a5613",
    ),
    "build int8": (INT8, "395e8ebdcdefa172be8214252410d07ccb0388dd55d2a3cdf4294f6514e99b39"),
    "build int8, all given": (
        OTHER_INT8,
        "28926dc54197a75cdfeafac46428b46f8f7c06f00c8c06e7646dfd8304f8bf9d",
    ),
    "benchmark": (BENCHMARK, "8f9a839dc184980c452aa32416fc4f6ff40114f986ac715cf090acbfa497667c"),
    "benchmark, server": (
        SERVER,
        "0e0f54f8ab9c7fd70a076a0032172037fccd22d974f0efe6c0bcdca7cfe129ae",
    ),
    "peak": (
        PeakSpec(threads=(1, 2)),
        "b976e8055b6c8ba2220ad87c47893a3acdfd037042c24bd9a6b967458bee3453",
    ),
    "profile": (
        ProfileSpec(build=INT8, batch=8, threads=2),
        "b2e00b56b494b2680976ef042cb3d06987cf83e874371e7109539b9b34a34ec4",
    ),
    "evaluation": (
        EvaluateSpec(build=INT8, dataset="val", limit=100),
        "5c4234928e13127da9b19014b00fb53a84c4c719db56b87a7dcc1c8ac0f90f30",
    ),
    "evaluation, shard": (
        EvaluateSpec(artifact="a" * 64, dataset="val", preprocess={"crop": 192}, start=0, stop=16),
        "6c48e898e3652ca877c402b5fcbaed6e3ecb2d1e7f10793c4374645a05fad1df",
    ),
    "excitations": (
        ExcitationsSpec(artifact="a" * 64, dataset="val", dataset_digest="b" * 64),
        "659dc02de5b59227890e02ac4b5b1cf1f3b8967bc54c3804a19128df2a378b74",
    ),
    "layers": (
        LayersSpec(artifact="a" * 64, dataset="val", dataset_digest="b" * 64),
        "e561b2cdaad3aef4dde3629e2bde9ee941b26c5cf7835cddc0ab7a340e65377f",
    ),
    "draws": (
        DrawsSpec(artifact="a" * 64, dataset="val", dataset_digest="b" * 64),
        "ecd40c63c31ee5c594280fb7aff9c235b91effab81734f133d4fda82315bad7b",
    ),
    "dataset": (
        DatasetSpec(name="val", root="/images", label_columns=("file", "class")),
        "fa1e4e66290a14ce9d9aea227a3fbb1f043e5f08a79f7d1d117949c27fef80df",
    ),
    "dataset, to calibrate on": (
        DatasetSpec(name="c", root="/images", calibration_images=64, suffix="jpg"),
        "1016380bfb716718424ac858fa87ae72f5307b429a905ec778e9009b5b7caf6e",
    ),
    "request of the demo": (
        DEMO,
        "8ae239fb8a53de8236bb154e8f374556d6e02695fca757a8396c804eeb15d1b2",
    ),
    "request": (REQUEST, "afd6546db711f9cb315c18a54c086bdc47163c107a30756e1d5a61a2d8149652"),
}
SETTINGS = {
    "benchmark": (BENCHMARK, "115d591b35c7b990fe71b1cd71faeb2efcbe75a601f3eedebefc21e76d0ccadd"),
    "benchmark, server": (
        SERVER,
        "990fa024d65e3cd7359448daf4151fae5085a521e5b5734982b7ad65f8891d7a",
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_of_a_spec_is_what_it_was(name: str) -> None:
    spec, digest = RECIPES[name]
    assert spec.fingerprint() == digest


@pytest.mark.parametrize("name", SETTINGS)
def test_the_setting_of_a_benchmark_is_what_it_was(name: str) -> None:
    spec, digest = SETTINGS[name]
    assert spec.conditions_key() == digest


def test_every_kind_of_spec_is_held() -> None:
    held = {type(spec) for spec, _ in RECIPES.values()} | {CalibrationSpec, RangeCheckSpec}
    # The base of what is measured, a list of benchmarks, and a part of a request.
    held |= {MeasuredSpec, SessionSpec, OtherModel}
    assert {kind for kind in kinds_of(Spec) if kind.__module__.startswith("engine.")} <= held


def kinds_of(base: Any) -> set[Any]:
    return {base_ for kind in base.__subclasses__() for base_ in ({kind} | kinds_of(kind))}


def test_the_digest_of_plain_data_is_what_it_was() -> None:
    assert (
        data_digest({"b": [1, 2.5, None], "a": "é"})
        == "d764fee2563da33e3d57334755404e635da33c995824b0adfabc4b6e1af4f608"
    )
