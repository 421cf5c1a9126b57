"""Builds that are not faster than fp32 are marked, with what is faster on the same machine."""

from __future__ import annotations

import pytest
from sqlalchemy import Select, select

from db.models import Artifact, Benchmark
from db.session import writing
from engine.results import results_frame
from engine.results.faster import not_faster
from engine.results.notes import with_notes
from tests.support.rows import add_measured_model

OPENVINO = "openvino 2026.4.1"


@pytest.mark.parametrize(
    ("precision", "low", "marked"),
    [
        ("int8", 0.9, True),
        ("bf16", 1.0, True),
        ("int8", 1.01, False),
        ("int8", None, None),
        ("fp32", 0.9, None),
    ],
)
def test_the_lower_limit_decides(precision: str, low: float | None, marked: bool | None) -> None:
    assert not_faster({"precision": precision, "speed_up_low": low}) is marked


def _of(precision: str) -> Select[tuple[Benchmark]]:
    return select(Benchmark).join(Artifact).where(Artifact.precision == precision)


def speed_up(url: str, precision: str, ratio: float, low: float, high: float) -> None:
    """Gives the stored benchmark of a precision its ratio to fp32."""
    with writing(url) as session:
        for row in session.scalars(_of(precision)):
            found = {"ratio": ratio, "low": low, "high": high, "p_value": 0.01, "rounds": 20}
            row.protocol = {**row.protocol, "speed_up": found}


def add_in_openvino(url: str, precision: str, rate: float, **other: object) -> None:
    """A copy of the benchmark of a precision, in OpenVINO at another rate."""
    with writing(url) as session:
        row = session.scalars(_of(precision)).first()
        assert row is not None
        values = {c.name: getattr(row, c.name) for c in Benchmark.__table__.columns}
        del values["id"], values["created_at"]
        figures = {
            "images_per_s": rate,
            "images_per_s_low": rate - 1,
            "images_per_s_high": rate + 1,
        }
        session.add(Benchmark(**{**values, "runtime": OPENVINO, **figures, **other}))


def marks(url: str) -> dict[str, str]:
    """The marks by precision; each is among the notes of its row."""
    frame = with_notes(results_frame(url))
    marked = frame[frame["not_faster"].notna()]
    for text, notes in zip(marked["not_faster"], marked["notes"], strict=True):
        assert text in notes
    return dict(zip(marked["precision"], marked["not_faster"], strict=True))


def test_what_is_faster_is_named(url: str) -> None:
    add_measured_model(url)  # fp32 10 images/s, fp16 20, int8 30
    assert marks(url) == {}
    speed_up(url, "int8", 0.85, 0.82, 0.87)
    assert marks(url) == {"int8": "not faster than fp32 here (0.85 ×)"}
    speed_up(url, "fp16", 1.96, 1.9, 2.1)  # not the ratio of the two speeds, 2.00
    assert marks(url)["int8"].endswith("; faster: fp16 (1.96 ×)")
    add_in_openvino(url, "int8", 5)  # slower than fp32 here
    add_in_openvino(url, "int8", 80, batch=8)  # another setting
    assert marks(url)["int8"].endswith("; faster: fp16 (1.96 ×)")
    add_in_openvino(url, "int8", 40)
    assert marks(url)["int8"].endswith("; faster: int8 in OpenVINO (4.00 ×)")


def test_a_ratio_above_1_within_the_noise_is_not_called_slower(url: str) -> None:
    add_measured_model(url)
    speed_up(url, "int8", 2.32, 0.9, 4.1)
    assert marks(url) == {"int8": "not shown to be faster than fp32 here (2.32 ×)"}


def test_another_model_is_no_alternative(url: str) -> None:
    add_measured_model(url)
    speed_up(url, "int8", 0.85, 0.82, 0.87)
    add_measured_model(url, "legacy_senet154", dataset="val2")
    assert marks(url) == {"int8": "not faster than fp32 here (0.85 ×)"}
