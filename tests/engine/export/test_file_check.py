"""An ONNX file is checked before anything is queued: by every runtime, in a child process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from db.enums import Precision, WeightsKind
from engine.errors import InvalidRequest
from engine.export import file_check
from engine.export.file_check_process import HANDLERS
from engine.jobs.messages import Message
from engine.jobs.warm_worker import answer
from engine.runs.cells import cells_of
from engine.runs.plan import plan
from engine.runs.request import RunRequest, Task
from engine.runs.submit import submit
from engine.specs import DEFAULT_RUNTIME, WeightsSpec

OPENVINO = "openvino"


def one_node(path: Path, operator: str, domain: str = "") -> Path:
    """A file of one node; OpenVINO has no Det, and no runtime has a domain of somebody."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 4, 4]) for n in "xy"]
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    imports = [helper.make_opsetid(name, 18 if not name else 1) for name in {"", domain}]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
    return path


def request_of(path: Path, *runtimes: str) -> RunRequest:
    return RunRequest(
        model_id="onnx/mine",
        weights=WeightsSpec(kind=WeightsKind.FILE, path=str(path)),
        precisions=(Precision.FP32,),
        runtimes=runtimes,
        tasks=(Task.BENCHMARK,),
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answers in this process; the paths that were asked for."""
    paths: list[str] = []

    def ask(task: str, seconds: float, facts: dict[str, object]) -> Message:
        paths.append(str(facts["path"]))
        found = answer(Message({**facts, "task": task}, ()), HANDLERS)
        if "error" in found.facts:
            raise InvalidRequest(found.facts["sentence"])
        return found

    monkeypatch.setattr(file_check.child, "ask", ask)
    return paths


def test_a_runtime_that_lacks_an_operator_is_left_out_with_the_reason(
    url: str, tmp_path: Path, asked: list[str]
) -> None:
    request = request_of(one_node(tmp_path / "det.onnx", "Det"), DEFAULT_RUNTIME, OPENVINO)
    found = plan(request, url)
    why = "Runtime openvino lacks operator Det of det.onnx: choose runtime onnxruntime."
    assert found.problems == ()
    assert f"Not measured: fp32 in openvino. {why}" in found.warnings
    assert cells_of(request).possible == ((Precision.FP32, DEFAULT_RUNTIME),)
    alone = request_of(Path(str(request.weights.path)), OPENVINO)
    assert plan(alone, url).problems == (why,)
    with pytest.raises(InvalidRequest, match="lacks operator Det"):
        submit(alone, url)
    assert len(asked) == 2, "each file is read once for the runtimes of a request"


def test_a_file_that_changed_is_read_again(tmp_path: Path, asked: list[str]) -> None:
    path = one_node(tmp_path / "model.onnx", "Det")
    assert file_check.check_onnx_file(path, (OPENVINO,)).lacking
    one_node(path, "Relu")
    found = file_check.check_onnx_file(path, (OPENVINO,))
    assert (found.problem, found.lacking) == (None, {})


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda path: one_node(path, "Twist", "org.example"), "uses the operator 'Twist' of the"),
        (lambda path: path.write_bytes(b"PK"), "a zip archive: unpack it"),
        (lambda path: path.write_bytes(b""), "is empty: copy the file again"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused(
    url: str,
    tmp_path: Path,
    asked: list[str],
    write: Callable[[Path], object],
    problem: str,
) -> None:
    write(tmp_path / "model.onnx")
    request = request_of(tmp_path / "model.onnx", DEFAULT_RUNTIME, OPENVINO)
    (told,) = plan(request, url).problems
    assert problem in told


def test_the_child_process_answers(home: Path, tmp_path: Path) -> None:
    path = one_node(tmp_path / "det.onnx", "Det")
    found = file_check.check_onnx_file(path, (DEFAULT_RUNTIME, OPENVINO))
    assert found.problem is None
    assert set(found.lacking) == {OPENVINO}
