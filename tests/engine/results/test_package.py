"""The package runs where only numpy, Pillow and the runtime are, and gives the engine's top-5."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from db.models import Artifact
from engine.classify.predict import Classifier
from engine.cli.main import main
from engine.errors import InvalidRequest
from engine.preprocess import PreprocessSpec, open_image, preprocess
from engine.results.package import snippet, write_package
from engine.results.package.snippet import SnippetFacts
from engine.store.artifacts import model_path
from tests.support.tiny import store_build, tiny_se_model

CLASSES = 12
STEPS = PreprocessSpec(resize=20, crop=16, interpolation="bicubic", color="bgr")
# Runs a script in an interpreter that finds no other installed package than these.
GUARD = """
import runpy, sys
allowed = {"numpy", "PIL", sys.argv[1], *sys.stdlib_module_names}
class Guard:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and not top.startswith("_"):
            raise ModuleNotFoundError(f"{name} is not installed", name=name)
sys.meta_path.insert(0, Guard())
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def stored(url: str, **manifest: Any) -> Artifact:
    model = tiny_se_model(CLASSES)
    return store_build(url, model, **{"preprocess": STEPS.to_dict(), **manifest})


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(4).integers(0, 255, (41, 63, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize(
    ("runtime", "manifest"),
    [("onnxruntime", {}), ("openvino", {"background": 3})],
)
def test_the_script_gives_the_same_top_5_in_a_clean_interpreter(
    url: str, tmp_path: Path, photograph: Path, runtime: str, manifest: dict[str, Any]
) -> None:
    artifact = stored(url, **manifest)
    write_package(artifact, tmp_path / "p.zip", url, runtime)
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        archive.extractall(tmp_path / "out")
    script = tmp_path / "out" / "p" / "classify.py"
    ran = subprocess.run(
        [sys.executable, "-I", "-c", GUARD, runtime, str(script), str(photograph)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines = [line.split(maxsplit=3) for line in ran.stdout.splitlines()[1:]]
    expected = Classifier(artifact, runtime=runtime).classify(photograph).predictions
    assert [int(line[2]) for line in lines] == [one.index for one in expected]
    assert [line[3] for line in lines] == [one.name for one in expected]
    shares = [float(line[0]) for line in lines]
    assert shares == pytest.approx([100 * one.probability for one in expected], abs=0.011)


def test_the_guard_finds_nothing_else() -> None:
    code = GUARD.replace('runpy.run_path(sys.argv[0], run_name="__main__")', "import psutil")
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code, "onnxruntime", "x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "psutil is not installed" in ran.stderr


@pytest.mark.parametrize(
    "steps",
    [
        {},
        {"resize": None},
        {"resize_mode": "squash", "interpolation": "bicubic"},
        {"resize": 12, "crop": 30},
        {"color": "bgr", "scale": 1.0, "mean": (120.0, 118.0, 99.0), "std": (58.0, 57.0, 60.0)},
    ],
)
@pytest.mark.parametrize("resizer", ["pillow", "opencv"])
def test_its_steps_are_those_of_the_engine(
    tmp_path: Path, photograph: Path, steps: dict[str, Any], resizer: str
) -> None:
    spec = PreprocessSpec(**{"resize": 37, "crop": 32, "resizer": resizer, **steps})
    source = snippet(spec, SnippetFacts("x fp32", "onnxruntime"))
    (tmp_path / "preprocessing.json").write_text(json.dumps(spec.to_dict()))
    (tmp_path / "labels.json").write_text("[]")
    loads = source.replace("session = ort.", "session = None and ort.")
    names: dict[str, Any] = {"__file__": str(tmp_path / "classify.py"), "__name__": "script"}
    exec(compile(loads, "classify.py", "exec"), names)
    made = names["prepare"](photograph)
    assert np.array_equal(made[0], preprocess(open_image(photograph), spec))
    assert ("import cv2" in source) == (resizer == "opencv" and spec.resize is not None)


def test_a_script_is_short() -> None:
    facts = SnippetFacts("x int8", "onnxruntime", exact=True, batch=4, background=0)
    source = snippet(PreprocessSpec(), facts)
    code = [line for line in source.splitlines() if line.strip()]
    assert len(code) < 45
    assert "exact sums" in source
    assert "np.repeat(prepare(path), 4, axis=0)" in source


def test_it_holds_steps_labels_provenance_figures_and_a_license_note(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = stored(url)
    target = tmp_path / "deep" / "tiny.zip"
    assert main(["package", "onnx/tiny:fp32", "-o", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runtime"] == "onnxruntime"
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        texts = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert texts["model.onnx"] == model_path(artifact.digest).read_bytes()
    assert PreprocessSpec.from_dict(json.loads(texts["preprocessing.json"])) == STEPS
    assert len(json.loads(texts["labels.json"])) == CLASSES
    assert artifact.digest in json.loads(texts["provenance.json"])["artifacts"]
    assert b"license" in texts["LICENSE-NOTE.txt"]
    assert {"README.md", "figures.json", "requirements.txt", "manifest.json"} <= set(texts)


def test_a_large_model_is_streamed(url: str, tmp_path: Path) -> None:
    artifact = stored(url)
    with model_path(artifact.digest).open("ab") as stream:
        stream.truncate(200_000_000)
    write_package(artifact, tmp_path / "warm.zip", url)
    tracemalloc.start()
    try:
        write_package(artifact, tmp_path / "large.zip", url)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def test_what_cannot_be_packaged_is_said_and_nothing_remains(url: str, tmp_path: Path) -> None:
    artifact = stored(url)
    with pytest.raises(InvalidRequest, match="not for torch"):
        write_package(artifact, tmp_path / "x.zip", url, "torch")
    model_path(artifact.digest).unlink()
    assert main(["package", artifact.digest[:8], "-o", str(tmp_path / "x.zip")]) == 1
    assert main(["package", "onnx/tiny:int8", "-o", str(tmp_path / "x.zip")]) == 1
    assert not list(tmp_path.glob("x.zip*"))
