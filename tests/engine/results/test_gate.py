"""The gate: missing data never passes, pairs by image where it can, and writes what CI reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from sqlalchemy import update

from db.models import Benchmark, Evaluation
from db.session import writing
from engine.cli.main import main
from engine.errors import InvalidRequest
from engine.results import results_frame
from engine.results.formats import to_records
from engine.results.gate import check, resolve, with_per_image
from engine.results.gate.reports import decision_document
from engine.results.recommend import Constraints, State, stored_evidence
from tests.support import rows

FP32, INT8 = "timm/seresnet50:fp32", "timm/seresnet50:int8"


def decided(url: str, baseline: str = FP32, candidate: str = INT8, **limits: Any):
    found = check(resolve(baseline, candidate, url), Constraints(**limits), stored_evidence(url))
    return found, found.checks[0]


def result_file(url: str, path: Path, *, per_image: bool, **changes: Any) -> str:
    frame = results_frame(url)
    records = to_records(with_per_image(frame, url) if per_image else frame)
    path.write_text(json.dumps([{**row, "evaluation_id": None, **changes} for row in records]))
    return str(path)


@pytest.mark.parametrize(
    ("max_drop", "state"),
    [(3.0, State.MEETS), (0.1, State.FAILS), (1.4, State.LIKELY), (1.0, State.INCONCLUSIVE)],
)
def test_the_paired_interval_decides(url: str, max_drop: float, state: State) -> None:
    rows.add_measured_model(url)
    decision, accuracy = decided(url, max_drop_pp=max_drop)
    assert decision.state == accuracy.state == state
    assert accuracy.value == pytest.approx(1.0)
    assert "paired 95 % interval" in accuracy.sentence


def test_files_with_bits_are_paired_and_files_of_totals_are_not(url: str, tmp_path: Path) -> None:
    rows.add_measured_model(url)
    bits = result_file(url, tmp_path / "bits.json", per_image=True)
    totals = result_file(url, tmp_path / "totals.json", per_image=False)
    own, _ = decided(url, max_drop_pp=2.0)
    paired, with_bits = decided(
        url, f"{bits}:fp32", f"{bits}:timm/seresnet50:int8", max_drop_pp=2.0
    )
    assert own.state == paired.state == State.MEETS
    assert with_bits.sentence == own.checks[0].sentence
    wider, unpaired = decided(url, f"{totals}:fp32", f"{totals}:int8", max_drop_pp=2.0)
    assert wider.state == State.LIKELY
    assert "unpaired 95 % interval" in unpaired.sentence
    assert "--per-image" in unpaired.sentence


def test_a_latency_needs_a_reliable_speed_and_no_limit_needs_none(url: str) -> None:
    rows.add_measured_model(url)
    assert decided(url, max_drop_pp=3.0, max_latency_ms=50.0)[0].state == State.MEETS
    assert decided(url, max_drop_pp=3.0, max_latency_ms=10.0)[0].state == State.FAILS
    with writing(url) as session:
        session.execute(update(Benchmark).values(protocol={"noise": ["backup used 1.5 cores"]}))
    found = decided(url, max_drop_pp=3.0, max_latency_ms=50.0)[0]
    assert found.state == State.INCONCLUSIVE
    assert "backup" in found.checks[1].sentence
    assert decided(url, max_drop_pp=3.0)[0].state == State.MEETS
    with writing(url) as session:
        session.query(Benchmark).delete()
    found = decided(url, max_drop_pp=3.0, max_latency_ms=50.0)[0]
    assert (found.state, found.checks[1].sentence) == (
        State.INCONCLUSIVE,
        "it was not benchmarked",
    )


def test_missing_or_different_images_never_pass(url: str, tmp_path: Path) -> None:
    rows.add_measured_model(url)
    other = result_file(url, tmp_path / "o.json", per_image=True, dataset_digest="x", dataset="o")
    decision, accuracy = decided(url, FP32, f"{other}:int8", max_drop_pp=50.0)
    assert decision.state == State.INCONCLUSIVE
    assert "different images" in accuracy.sentence
    with writing(url) as session:
        session.query(Evaluation).delete()
    decision, accuracy = decided(url, max_drop_pp=50.0)
    assert decision.state == State.INCONCLUSIVE
    assert "not evaluated" in accuracy.sentence


def test_figures_and_top1_are_limits(url: str) -> None:
    rows.add_measured_model(url)
    limits = {"max_drop_pp": 3.0, "max_size_mb": 30.0, "max_memory_mb": 400.0, "min_top1": 75.0}
    assert decided(url, **limits)[0].state == State.MEETS
    assert decided(url, **limits | {"max_size_mb": 20.0})[0].state == State.FAILS
    assert decided(url, **limits | {"min_top1": 79.0})[0].state == State.LIKELY
    assert decided(url, **limits | {"min_top1": 85.0})[0].state == State.FAILS


def test_one_build_has_no_drop(url: str) -> None:
    rows.add_measured_model(url)
    assert decided(url, INT8, INT8, max_drop_pp=0.0)[0].state == State.MEETS


@pytest.mark.parametrize(
    ("side", "why"),
    [
        ("timm/none:int8", "is no build"),
        ("nothing", "is no build"),
        ("abcdef12", "no build"),
        ("FILE", "There are 3 builds in r.json"),
        ("FILE:bf16", "no build bf16 in r.json"),
        ("DAMAGED", "is not a result file"),
    ],
)
def test_a_side_that_names_no_build_is_said(url: str, tmp_path: Path, side: str, why: str) -> None:
    rows.add_measured_model(url)
    result_file(url, tmp_path / "r.json", per_image=False)
    (tmp_path / "d.json").write_text('{"results": [{"top1": "x"}]}')
    named = side.replace("FILE", str(tmp_path / "r.json"))
    named = named.replace("DAMAGED", str(tmp_path / "d.json"))
    with pytest.raises(InvalidRequest, match=why):
        resolve(FP32, named, url)


def test_the_command_writes_what_a_pipeline_reads(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows.add_measured_model(url)
    xml, text = tmp_path / "gate.xml", tmp_path / "gate.md"
    words = ["gate", "--baseline", FP32, "--candidate", INT8, "--junit", str(xml)]
    words += ["--markdown", str(text)]
    assert main([*words, "--max-drop", "3"]) == 0
    assert main([*words, "--max-drop", "0.1", "--max-size", "1"]) == 1
    suite = ElementTree.parse(xml).getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "2", "0")
    capsys.readouterr()
    assert main([*words, "--max-drop", "1.4", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "inconclusive"
    assert document["checks"][0]["more_images"] > 0
    suite = ElementTree.parse(xml).getroot()[0]
    assert suite.get("errors") == "1", "inconclusive is no pass in JUnit either"
    assert suite[0].find("error") is not None
    lines = text.read_text().splitlines()
    assert lines[0] == "### senet gate: inconclusive"
    assert sum(line.startswith("|") for line in lines) == 3


def test_the_document_is_plain(url: str) -> None:
    rows.add_measured_model(url)
    json.dumps(decision_document(decided(url)[0]))


def test_recommend_and_results_print_json(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows.add_measured_model(url)
    words = ["recommend", "--max-latency", "60", "--percentile", "p90", "--max-drop", "3"]
    assert main([*words, "--min-top1", "75", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["state"], document["build"]["precision"]) == ("meets", "int8")
    assert main([*words, "--min-top1", "90"]) == 0
    assert "Nearest: timm/seresnet50 fp16: top-1 80.20 %, 9.80 pp below" in capsys.readouterr().out
    assert main(["results", "--json", "--per-image"]) == 0
    assert all(row["correct_images"] for row in json.loads(capsys.readouterr().out))
    assert main(["results", "--per-image"]) == 1


def test_a_part_of_a_label_chooses_the_images(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend"]) == 0
    assert "No build has both" in capsys.readouterr().out
    assert main(["recommend", "--images", "val"]) == 1
    assert "none was measured yet" in capsys.readouterr().err
    rows.add_measured_model(url)
    rows.add_measured_model(url, "other", dataset="val-two", right={"fp32": 900})
    assert main(["recommend", "--images", "val-two"]) == 0
    assert "timm/other fp32" in capsys.readouterr().out
    assert main(["recommend", "--images", "val"]) == 1
    assert "fits several image sets" in capsys.readouterr().err
