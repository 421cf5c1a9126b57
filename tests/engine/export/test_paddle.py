"""paddle2onnx as a second route: its environment, its lies, and its agreement with ours.

The tests with `python` run a stand-in that writes what paddle2onnx was seen to write. The slow ones
run paddle2onnx itself where SENET_PADDLE_PYTHON, or .venv-paddle, has it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from db.enums import WeightsKind
from engine.config import settings
from engine.errors import CheckpointRejected, ExportFailed, InvalidRequest
from engine.export import job as export
from engine.export.paddle import convert, read_converted, remove_final_softmax
from engine.export.verify import compare
from engine.onnx.opset import OPSET
from engine.runs.plan import plan
from engine.runs.request import RunRequest, Task
from engine.specs import ExportSpec, WeightsSpec
from tests.support.tiny import Quiet, scores, tiny_se_model

RECORDED = Path(__file__).parents[2] / "oracles" / "recorded"
PARAMETERS = sum(int(np.prod(t.dims)) for t in tiny_se_model().graph.initializer)


def spec_for(path: Path, model_id: str = "ppcls/seresnet18") -> ExportSpec:
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(path))
    return ExportSpec(model_id=model_id, weights=weights, via="paddle2onnx")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    for name in ("net.json", "net.pdiparams"):
        (tmp_path / name).write_bytes(b"{}")
    return tmp_path / "net.json"


def stand_in(folder: Path, body: str) -> Path:
    """A `python` that does `body` with the arguments of paddle2onnx in `a`."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nimport sys, os, shutil\na = sys.argv\n{body}\n")
    path.chmod(0o755)
    return path


def test_without_its_environment_one_sentence_names_the_target(
    url: str, tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENET_PADDLE_PYTHON", str(tmp_path / "nowhere" / "python"))
    settings.cache_clear()
    spec = spec_for(program.with_suffix(".pdiparams"))
    with pytest.raises(ExportFailed, match="make setup-paddle"):
        export.run(spec.to_json(), Quiet(url, tmp_path / "a"))
    request = RunRequest(
        model_id=spec.model_id, weights=spec.weights, via="paddle2onnx", tasks=(Task.EXPORT,)
    )
    assert any("make setup-paddle" in problem for problem in plan(request, url).problems)


@pytest.mark.parametrize(
    ("model_id", "name", "reason"),
    [
        ("timm/seresnet50", "net.pdiparams", "PaddleClas models only"),
        ("ppcls/seresnet18", "net.pdparams", "does not need Paddle"),
        ("ppcls/seresnet18", "alone.pdiparams", "in the same folder"),
    ],
)
def test_what_is_no_inference_model_is_refused(
    url: str, tmp_path: Path, program: Path, model_id: str, name: str, reason: str
) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        export.run(spec_for(tmp_path / name, model_id).to_json(), Quiet(url, tmp_path / "a"))


def test_weights_without_a_file_are_refused(url: str) -> None:
    weights = WeightsSpec(kind=WeightsKind.RANDOM)
    request = RunRequest(
        model_id="ppcls/seresnet18", weights=weights, via="paddle2onnx", tasks=(Task.EXPORT,)
    )
    assert any("not no file: choose" in problem for problem in plan(request, url).problems)


def test_it_is_asked_for_our_opset_and_installs_nothing(tmp_path: Path, program: Path) -> None:
    body = "open(a[a.index('--save_file') + 1], 'w').write(repr((a, dict(os.environ))))"
    convert(stand_in(tmp_path, body), program, tmp_path / "out.onnx")
    arguments, environment = eval((tmp_path / "out.onnx").read_text())
    assert arguments[arguments.index("--opset_version") + 1] == str(OPSET)
    assert arguments[arguments.index("--optimize_tool") + 1] == "None"
    assert arguments[arguments.index("--params_filename") + 1] == "net.pdiparams"
    assert environment["PIP_NO_INDEX"] == "1"
    assert "PYTHONPATH" not in environment


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sys.exit('The Opset Version must be between 7 and 21')", "between 7 and 21"),
        ("os.abort()", "exit code -6"),
        ("pass", "no output"),
    ],
)
def test_its_failures_are_told(tmp_path: Path, program: Path, body: str, reason: str) -> None:
    with pytest.raises(ExportFailed, match=reason):
        convert(stand_in(tmp_path, body), program, tmp_path / "out.onnx")


def test_a_python_that_cannot_run_is_told(tmp_path: Path, program: Path) -> None:
    (tmp_path / "python").write_text("no program")
    with pytest.raises(ExportFailed, match="make setup-paddle"):
        convert(tmp_path / "python", program, tmp_path / "out.onnx")


def test_a_file_without_its_weights_is_not_believed(tmp_path: Path) -> None:
    model = tiny_se_model()
    del model.graph.initializer[0]
    shape = helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [8, 3, 3, 3])
    model.graph.input.append(shape)
    onnx.save(model, tmp_path / "out.onnx")
    with pytest.raises(ExportFailed, match=r"wrote \d+ of \d+ weights"):
        read_converted(tmp_path / "out.onnx", PARAMETERS)


def test_an_invalid_file_is_not_believed(tmp_path: Path) -> None:
    onnx.save(tiny_se_model(), tmp_path / "out.onnx")
    whole = (tmp_path / "out.onnx").read_bytes()
    (tmp_path / "out.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointRejected, match="not a valid ONNX model"):
        read_converted(tmp_path / "out.onnx", PARAMETERS)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_final_softmax_is_taken_off(tmp_path: Path, scaled: bool) -> None:
    model = tiny_se_model()
    logits = scores(model, tmp_path)
    assert not remove_final_softmax(model)
    model.graph.node[-1].output[0] = "raw"
    model.graph.node.append(helper.make_node("Softmax", ["raw"], ["logits"], axis=1))
    if scaled:  # as Paddle 2 ends its programs
        for name, value in (("one", 1.0), ("zero", 0.0)):
            constant = numpy_helper.from_array(np.array([value], np.float32), name)
            model.graph.initializer.append(constant)
        model.graph.node[-1].output[0] = "p"
        model.graph.node.append(helper.make_node("Mul", ["p", "one"], ["q"]))
        model.graph.node.append(helper.make_node("Add", ["q", "zero"], ["logits"]))
    assert remove_final_softmax(model)
    assert model.graph.output[0].name == "raw"
    assert np.array_equal(scores(model, tmp_path), logits)


def real_python() -> Path:
    if not settings().paddle_python.is_file():
        pytest.skip("there is no environment with paddle2onnx; `make setup-paddle` makes it")
    return settings().paddle_python


@pytest.mark.slow
@pytest.mark.parametrize("program", ["paddle-2.6.2/{}.pdmodel", "paddle-3.3.1/{}.json"])
def test_paddle2onnx_itself_converts_both_forms_of_program(tmp_path: Path, program: str) -> None:
    made = []
    for kind in ("logits", "softmax"):
        convert(real_python(), RECORDED / program.format(kind), tmp_path / f"{kind}.onnx")
        proto = read_converted(tmp_path / f"{kind}.onnx", parameters=100)
        assert remove_final_softmax(proto) == (kind == "softmax")
        made.append(proto)
    batch = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    run = []
    for number, proto in enumerate(made):
        onnx.save(proto, tmp_path / f"{number}.onnx")
        session = ort.InferenceSession(str(tmp_path / f"{number}.onnx"))
        run.append(lambda x, s=session: s.run(None, {s.get_inputs()[0].name: x})[0])
    assert compare(run[0], run[1], [batch]).max_relative_difference < 1e-6


@pytest.mark.slow
def test_paddle2onnx_itself_is_caught_without_parameters(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_bytes((RECORDED / "paddle-3.3.1" / "logits.json").read_bytes())
    python = real_python()

    def whole() -> None:
        convert(python, tmp_path / "net.json", tmp_path / "out.onnx")
        read_converted(tmp_path / "out.onnx", parameters=100)

    with pytest.raises((ExportFailed, CheckpointRejected)):
        whole()
