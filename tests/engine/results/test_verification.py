"""Published figures against evaluations of the published weights: verdicts, table, resuming."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from db.models import Evaluation
from db.session import writing
from engine.catalog.models import find_model
from engine.cli import verify as command
from engine.cli.main import main
from engine.errors import InvalidRequest
from engine.results.verification import (
    Check,
    Verdict,
    catalog_models,
    verification_markdown,
    verification_request,
    verifications,
)
from tests.support import rows

MODEL = find_model("timm/seresnet50")


def evaluated(url: str, top1: int, top5: int, published: bool = True) -> None:
    """An evaluation of 1,000 images, with the preprocessing of the published figure or another."""
    rows.add_measured_model(url, right={"fp32": top1})
    with writing(url) as session:
        row = session.scalars(select(Evaluation)).one()
        row.top5_count = top5
        if published:
            assert MODEL.preprocess is not None
            row.preprocess = MODEL.preprocess.to_dict()


@pytest.mark.parametrize(
    ("top1", "top5", "verdict"),
    [
        (803, 951, Verdict.AGREES),
        (780, 951, Verdict.AGREES),
        (760, 951, Verdict.DIFFERS),
        (803, 900, Verdict.DIFFERS),
    ],
)
def test_a_row_agrees_where_the_published_figures_are_in_the_intervals(
    url: str, top1: int, top5: int, verdict: Verdict
) -> None:
    evaluated(url, top1, top5)
    (row,) = verifications([MODEL], "val", url)
    assert (row.verdict, row.images) == (verdict, 1000)
    assert row.top1.measured == pytest.approx(top1 / 10)


def test_published_figures_are_rounded() -> None:
    assert Check(80.26, 80.5, 80.264, 80.8).verdict == Verdict.AGREES


def test_other_preprocessing_or_fewer_images_are_no_verification(url: str) -> None:
    evaluated(url, 803, 951, published=False)
    assert verifications([MODEL], "val", url)[0].verdict == Verdict.NOT_MEASURED


def test_fewer_images_than_asked_for_are_measured_again(url: str) -> None:
    evaluated(url, 803, 951)
    assert verifications([MODEL], "val", url, 1000)[0].verdict == Verdict.AGREES
    assert verifications([MODEL], "val", url, 1001)[0].verdict == Verdict.NOT_MEASURED
    assert verifications([MODEL], "other", url)[0].verdict == Verdict.NOT_MEASURED


def test_the_table_has_every_row_as_markdown(url: str) -> None:
    evaluated(url, 803, 951)
    found = verifications(catalog_models(), "val", url)
    text = verification_markdown(found, "val")
    assert text.startswith("1 of 25 rows agree")
    assert text.count("\n|") == 25 + 2
    assert "80.30 (77.72 to 82.65)" in text
    assert "+0.04" in text


def test_a_model_without_published_figures_is_a_sentence() -> None:
    with pytest.raises(InvalidRequest, match="no published figures"):
        catalog_models("timm/resnet18")


def test_a_request_asks_for_published_weights_in_fp32() -> None:
    request = verification_request(MODEL, "val", 100)
    assert (request.precisions, request.weights.kind, request.limit) == (
        ("fp32",), "pretrained", 100,
    )  # fmt: skip
    assert request.evaluation_preprocess is None


def test_the_command_goes_on_where_it_was(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluated(url, 803, 951)
    asked: list[str] = []

    def refuse(request: object) -> int:
        asked.append(request.model_id)  # type: ignore[attr-defined]
        raise InvalidRequest("There is no network.")

    monkeypatch.setattr(command, "submit_with_warnings", refuse)
    file = tmp_path / "verified.md"
    assert main(["verify", "--catalog", "-d", "val", "-o", str(file), "--json"]) == 2
    assert len(asked) == 24
    assert MODEL.id not in asked
    document = json.loads(capsys.readouterr().out)
    assert {row["model_id"]: row["verdict"] for row in document}[MODEL.id] == "agrees"
    assert "seresnet50" in file.read_text()
    assert main(["verify", MODEL.id, "-d", "val"]) == 0
    assert len(asked) == 24, "nothing is evaluated twice"
    assert main(["verify", "-d", "val"]) == 1
