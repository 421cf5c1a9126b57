"""The layers of an int8 build: the worst first, those in float left out."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from sqlalchemy import select

from dashboard.charts.layers import MAX_LAYERS, layer_sqnr
from dashboard.palette import DARK, LIGHT
from db.enums import ArtifactKind
from db.models import Artifact
from db.session import reading
from engine.build.int8.layer_reports import load_layer_report, most_sensitive_layers
from engine.cli.main import main
from engine.store.artifacts import REPORT_FILE, folder_of
from engine.store.int8_report import LayerReport
from tests.support import rows


def layer(name: str, effect: float | None, **other: object) -> dict[str, object]:
    plain = {
        "layer": name,
        "tensor": name,
        "op": "Conv",
        "precision": "int8",
        "reason": None,
        "macs_share": 0.1,
        "weights_sqnr_db": 40.0,
        "output": name,
        "output_sqnr_db": 35.0,
        "low": -1.0,
        "high": 1.0,
        "saturated": 0.0,
        "effect_db": effect,
    }
    return plain | other


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_the_worst_layers_come_first(palette: object) -> None:
    layers = pd.DataFrame([layer(str(n), 60.0 - n) for n in range(40)] + [layer("f", None)])
    (bars,) = layer_sqnr(layers, "effect_db", palette).data
    assert len(bars.x) == MAX_LAYERS
    assert list(bars.x) == sorted(bars.x)
    assert bars.y[0] == "39"
    assert "f" not in bars.y


def test_layers_in_float_are_never_the_worst() -> None:
    plain = [layer("a", 30.0), layer("b", None, precision="float"), layer("c", 20.0)]
    layers = [LayerReport.model_validate(one) for one in plain]
    assert [one.layer for one in most_sensitive_layers(layers, 2)] == ["c", "a"]


def test_the_terminal_shows_the_ten_worst(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows.add_measured_model(url)
    builds = select(Artifact.digest).where(Artifact.kind == ArtifactKind.BUILD)
    with reading(url) as session:
        digest = session.scalars(builds).first()
    assert digest is not None
    assert load_layer_report(digest) is None
    assert main(["artifacts", "report", digest[:12]]) == 1
    assert "has no report of its layers" in capsys.readouterr().err
    report = {
        "macs_in_int8": 0.9,
        "changed_classes": {"images": 64, "changed": 2},
        "layers": [layer(f"blocks.{n}", 20.0 + n) for n in range(12)],
    }
    folder_of(digest).mkdir(parents=True, exist_ok=True)
    (folder_of(digest) / REPORT_FILE).write_text(json.dumps(report))
    assert main(["artifacts", "report", digest[:12]]) == 0
    out = capsys.readouterr().out
    assert "blocks.9" in out
    assert "blocks.11" not in out
