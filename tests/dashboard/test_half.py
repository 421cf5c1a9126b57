"""What the pages say of fp16: what stays in float, on what it was checked, where it is native."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from db.models import Artifact
from engine.build.fp16.builder import NOT_CHECKED
from engine.cli.main import main
from engine.results.facts import Provenance, provenance_cards
from tests.support.pages import missing

HALF: dict[str, Any] = {
    "kept_in_float": [
        {"node": "loud", "op": "Conv", "output": "c", "reason": "outputs values up to 1e+05"}
    ],
    "checked": {"dataset": "val", "images": 300, "limit": 32752.0, "largest_half": 65504.0},
    "largest": {"tensor": "c", "value": 1e5},
    "agreement": {"images": 64, "same_class": 63, "signal_db": 55.0},
}
BUILD = {"execution": "emulated", "execution_why": "the processor has none", "half": HALF}


def fp16(build: dict[str, Any]) -> Artifact:
    return Artifact(
        digest="a" * 64,
        model_id="timm/x",
        precision="fp16",
        size_bytes=10**6,
        weights_digest="b" * 64,
        weights_kind="file",
        manifest={"build": build, "compute": {"gmacs": 1.0}},
    )


def card(build: dict[str, Any]) -> dict[str, Any]:
    found = Provenance(
        artifact=fp16(build),
        imported=None,
        weights=None,
        evaluation=None,
        benchmark=None,
        environment=None,
    )
    return provenance_cards(found)["Artifact"]


def test_the_card_says_what_stays_in_float_and_on_what_it_was_checked() -> None:
    shown = card(BUILD)
    assert shown["execution"] == "emulated: the processor has none"
    assert not missing(shown["overflow check"], "300 images of val", "1 node")
    assert not missing(shown["fp16 vs fp32"], "63 of 64 images", "55 dB")
    unchecked = HALF["checked"] | {"dataset": None, "note": NOT_CHECKED}
    shown = card(BUILD | {"half": HALF | {"checked": unchecked}})
    assert shown["overflow check"].startswith("overflow not checked (no dataset)")


def test_the_card_names_the_target_and_the_bound() -> None:
    bound = {"max_drop": 1.0, "held": False, "drop": 0.5, "drop_at_most": 1.8, "images": 200}
    target = {"summary": "arm (s8 x s8)", "why": "the processor is an Arm"}
    merged = {"shapes": [{"layers": ["c"], "factor": 4}], "source": "measured here"}
    about = {"target": target, "bound": bound, "merged_groups": merged}
    shown = card({"quantisation": about})
    assert shown["int8 target"] == "arm (s8 x s8): the processor is an Arm"
    assert not missing(shown["accuracy constraint"], "1 pp", "0.5", "1.8", "200 images")
    assert not missing(shown["merged groups"], "1 of 1 grouped", "4 groups", "measured here")
    assert shown["overflow check"] is None


def test_builds_of_before_have_none_of_this() -> None:
    shown = card({"execution": "emulated on CPU: correct"})
    assert shown["execution"] == "emulated on CPU: correct"
    assert shown["int8 target"] is None


def test_the_nodes_in_float_are_listed() -> None:
    def page(built: object) -> None:
        from dashboard.components.details.fp16 import show_fp16

        show_fp16(built)

    app = AppTest.from_function(page, args=(fp16(BUILD),)).run()
    assert not app.exception
    assert list(app.dataframe[0].value["node"]) == ["loud"]
    text = " ".join(element.value for element in app.markdown)
    assert "**1 node** kept in fp32" in text
    assert "**63 of 64** images" in text


def test_the_terminal_lists_them_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setattr("engine.cli.artifacts.find_by_digest", lambda digest, url: fp16(BUILD))
    assert main(["artifacts", "report", "aaaaaa"]) == 0
    told = capsys.readouterr()
    assert "loud" in told.out
    assert "1e+05" in told.out
    assert "63/64 images" in told.err
