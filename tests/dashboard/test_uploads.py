from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

from dashboard.components.classify import uploads
from engine.config import REPOSITORY, settings
from engine.errors import ImageRejected, InvalidRequest


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("model.onnx", "model.onnx"),
        ("../../etc/passwd.pth", "passwd.pth"),
        ("C:\\models\\my net.onnx", "my_net.onnx"),
        ("..", "upload"),
        (".onnx", "onnx"),
        ("a" * 300 + ".onnx", "a" * 80 + ".onnx"),
        ("naïve $(rm).pth", "na_ve_rm_.pth"),
    ],
)
def test_names_are_made_safe(name: str, kept: str) -> None:
    assert uploads.safe_name(name) == kept


def test_a_model_is_kept_under_its_digest(url: str) -> None:
    path = uploads.store_upload("../x.onnx", b"data")
    digest = hashlib.sha256(b"data").hexdigest()
    assert path == settings().home / "uploads" / digest / "x.onnx"
    assert path.read_bytes() == b"data"
    assert uploads.store_upload("x.onnx", memoryview(b"data")) == path
    assert [p.name for p in path.parent.iterdir()] == ["x.onnx"]


@pytest.mark.parametrize(("name", "data"), [("x.exe", b"1"), ("x", b"1"), ("x.onnx", b"")])
def test_other_files_are_refused(url: str, name: str, data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="x"):
        uploads.store_upload(name, data)
    assert not list((settings().home / "uploads").rglob("*")) or not data


def test_nothing_half_written_remains(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError(13, "denied")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="denied"):
        uploads.store_upload("x.onnx", b"data")
    assert not [p for p in (settings().home / "uploads").rglob("*") if p.is_file()]


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
def test_heic_is_refused_politely(brand: bytes) -> None:
    with pytest.raises(ImageRejected, match=r"a\.jpg .*HEIC.* JPEG"):
        uploads.require_image("a.jpg", b"\0\0\0\x18ftyp" + brand + b"\0" * 8)


def test_large_files_are_refused_by_size() -> None:
    with pytest.raises(ImageRejected, match=r"big\.png is too large: 10\.0 MB"):
        uploads.require_image("big.png", b"\0" * (uploads.MAX_IMAGE_BYTES + 1))
    uploads.require_image("fits.png", b"\0" * uploads.MAX_IMAGE_BYTES)


def test_files_over_the_limit_are_named() -> None:
    taken, rejected = uploads.split_by_count([f"{i}.png" for i in range(34)])
    assert len(taken) == 32
    assert [one.name for one in rejected] == ["32.png", "33.png"]


def test_the_limit_that_uploaders_show_is_the_limit() -> None:
    """Streamlit shows 512 MB and more as GB without a fraction."""
    config = tomllib.loads((REPOSITORY / ".streamlit" / "config.toml").read_text())
    limit_mb = config["server"]["maxUploadSize"]
    assert limit_mb < 512 or limit_mb % 1024 == 0
