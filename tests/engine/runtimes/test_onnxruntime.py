"""The provider asked for is the one that runs, node by node, or nothing runs."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime as ort
import pytest

from engine.benchmark.placement import nodes_on_other_providers
from engine.errors import ProviderUnavailable
from engine.runtimes import onnxruntime
from engine.runtimes.onnxruntime import OnnxSession, nodes_by_provider
from tests.support.tiny import tiny_se_model

CPU = "CPUExecutionProvider"
OTHER = "AzureExecutionProvider"  # comes with the CPU package, and takes no node of a network


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(tiny_se_model(), tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def test_the_nodes_of_each_provider_are_counted(path: Path) -> None:
    runtime = OnnxSession(path, CPU, 1)
    assert runtime.placement is not None
    assert set(runtime.placement) == {CPU}
    assert 1 <= runtime.placement[CPU] <= len(tiny_se_model().graph.node)


@pytest.mark.skipif(OTHER not in ort.get_available_providers(), reason=f"no {OTHER} here")
def test_a_provider_that_takes_no_node_is_refused(path: Path) -> None:
    """ONNX Runtime itself says that this provider runs, and then computes on the CPU."""
    session = ort.InferenceSession(str(path), providers=[OTHER])
    assert session.get_providers()[0] == OTHER
    with pytest.raises(ProviderUnavailable, match=r"would run no part of this model \(\d+ on CPU"):
        OnnxSession(path, OTHER, 1)


def test_a_part_on_another_provider_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = {"CUDAExecutionProvider": 7, CPU: 3}
    monkeypatch.setattr(onnxruntime, "_session", lambda *a: _Session())
    monkeypatch.setattr(onnxruntime, "nodes_by_provider", lambda session: split)
    assert OnnxSession(path, "CUDAExecutionProvider", 1).placement == split


def test_what_ran_elsewhere_is_put_in_words() -> None:
    split = {"CUDAExecutionProvider": 7, CPU: 3}
    assert nodes_on_other_providers(split, "CUDAExecutionProvider") == f"3 of 10 nodes ran on {CPU}"
    assert nodes_on_other_providers({CPU: 10}, CPU) is None
    assert nodes_on_other_providers(None, CPU) is None


def test_a_runtime_that_does_not_tell_is_not_made_to() -> None:
    assert nodes_by_provider(object()) is None  # type: ignore[arg-type]


class _Session:
    """Has an input and an output, and computes nothing."""

    def get_inputs(self) -> list[object]:
        return [type("Input", (), {"name": "input", "shape": ["batch", 3, 8, 8]})()]

    get_outputs = get_inputs
