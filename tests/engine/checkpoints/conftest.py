"""Small networks and hostile objects for the tests of the sources."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

ORACLES = Path(__file__).parents[2] / "oracles"


class Hostile:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that exists as soon as a hostile object was run."""
    return tmp_path / "canary"


@pytest.fixture(params=["os.system", "eval", "exec"])
def hostile(request: pytest.FixtureRequest, canary: Path) -> Hostile:
    """An object that makes the canary file when it is unpickled in the ordinary way."""
    python = f"open({str(canary)!r}, 'w').close()"
    return {
        "os.system": Hostile(os.system, f"touch {canary}"),
        "eval": Hostile(eval, python),
        "exec": Hostile(exec, python),
    }[request.param]


@pytest.fixture
def network() -> nn.Module:
    """A convolution, its normalization and a classifier of 5 classes."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 5)
    ).eval()


@pytest.fixture
def recorded() -> Path:
    """What the other frameworks wrote and computed."""
    return ORACLES / "recorded"
