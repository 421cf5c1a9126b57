"""Specs of exports: a model, its weights, and the route to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from db.enums import WeightsKind
from engine.common.digests import data_digest
from engine.common.files import expand_user
from engine.common.untrusted import MAX_CLASSES, MAX_INTEGER
from engine.preprocess.spec import PreprocessSpec
from engine.specs.base import Spec

ExportFormat = Literal["onnx", "torchscript"]
ExportRoute = Literal["torch", "paddle2onnx"]


class WeightsSpec(Spec):
    """Weights: pretrained (by the catalog's tag), a file (by its digest), or random.

    `sha256` is also set for pretrained weights that were registered from a file. `key` selects one
    of several sets of weights in a file, such as `state_dict_ema`; None: the default set.
    """

    kind: WeightsKind = WeightsKind.PRETRAINED
    path: str | None = None
    sha256: str | None = None
    seed: int = Field(0, ge=-MAX_INTEGER, le=MAX_INTEGER)
    key: str | None = Field(None, min_length=1, max_length=200)

    @model_validator(mode="after")
    def _file_is_named(self) -> WeightsSpec:
        if (self.kind == WeightsKind.FILE) != bool(self.path):
            raise ValueError("Weights of kind 'file' need a path; other kinds have none.")
        if self.key is not None and self.kind == WeightsKind.RANDOM:
            raise ValueError(
                "A weights key selects a set of a weights file; random weights have no sets."
            )
        return self

    def fingerprint(self) -> str:
        """Independent of the path (the content counts); the default set is left out."""
        plain = {**self.to_json(), "path": None}
        if self.key is None:
            plain.pop("key")
        return data_digest(plain)


class ExportSpec(Spec):
    """A model with its weights, exported to one file.

    `preprocess` overrides the model's own protocol. For ONNX files only: `background` is the index
    of the background class (0: the first output), `output` the name of the output with the scores,
    `classes` the class counts of the dataset, which identify that output if no name is given.
    `via` is the converter: torch, or paddle2onnx for a Paddle inference model.
    """

    model_id: str
    weights: WeightsSpec = WeightsSpec()
    preprocess: dict[str, Any] | None = None
    background: int | None = Field(None, ge=0, le=MAX_CLASSES)
    format: ExportFormat = "onnx"
    via: ExportRoute = "torch"
    output: str | None = None
    classes: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _paddle2onnx_writes_onnx(self) -> ExportSpec:
        if self.via == "paddle2onnx" and self.format != "onnx":
            raise ValueError("paddle2onnx writes ONNX only; TorchScript is exported via torch.")
        return self

    def fingerprint(self) -> str:
        """As in the base, but independent of the path of a weights file.

        Default format, route and output are left out, so digests from before these options existed
        stay valid. Fields missing from `preprocess` come from the model's own protocol; the key
        `preprocess_left_open` marks this, because earlier versions used ImageNet defaults.
        """
        defaults = {key for key, value in _DEFAULTS.items() if getattr(self, key) == value}
        plain = {key: value for key, value in self.to_json().items() if key not in defaults}
        if self.preprocess is not None and not PreprocessSpec.is_complete(self.preprocess):
            plain["preprocess_left_open"] = "as published"
        return data_digest({**plain, "weights": self.weights.fingerprint()})


_DEFAULTS = {"format": "onnx", "via": "torch", "output": None, "classes": ()}


def absolute(path: str | Path) -> str:
    """The absolute path, with ~ and .. resolved."""
    return str(expand_user(path).resolve())
