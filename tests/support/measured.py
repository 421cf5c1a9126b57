"""A whole run of the tiny network, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from engine.cli import follow
from engine.cli.main import main
from tests.support.fakes import run_inline
from tests.support.tiny import PREPROCESS, image_folder, labeled_by, tiny_se_model


def run_tiny(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    """Exit code of `run` with these words; jobs run in this process."""
    monkeypatch.setattr(follow, "watch_jobs", run_inline)
    file, prepared = tmp_path / "tiny.onnx", tmp_path / "preprocess.json"
    if not file.exists():
        model = tiny_se_model()
        onnx.save(model, file)
        prepared.write_text(json.dumps(PREPROCESS.to_dict()))
        labeled_by(model, image_folder(tmp_path / "images"), url)
    words = ["run", "onnx/tiny", "--weights", str(file), "--preprocess", str(prepared)]
    words += ["--dataset", "tiny", "--max-seconds", "1", "--json"]
    return main([*words, *more])
