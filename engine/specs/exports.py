"""Which model with which weights, exported how."""

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
    """Which weights: pretrained by the catalog's tag, a file (by its digest), or random.

    Pretrained ones have a digest here where they are a file registered by hand. `key` names one of
    several sets of weights in a file, such as `state_dict_ema`; None: the usual one.
    """

    kind: WeightsKind = WeightsKind.PRETRAINED
    path: str | None = None
    sha256: str | None = None
    seed: int = Field(0, ge=-MAX_INTEGER, le=MAX_INTEGER)
    key: str | None = Field(None, min_length=1, max_length=200)

    @model_validator(mode="after")
    def _file_is_named(self) -> WeightsSpec:
        if (self.kind == WeightsKind.FILE) != bool(self.path):
            raise ValueError("A path belongs to weights of kind 'file', and to no other kind.")
        if self.key is not None and self.kind == WeightsKind.RANDOM:
            raise ValueError(
                "A weights key chooses among the sets of a file; random ones have none."
            )
        return self

    def recipe(self) -> str:
        """For a file its bytes count, not where it lies; the usual set is left out, as ever."""
        plain = {**self.to_json(), "path": None}
        if self.key is None:
            plain.pop("key")
        return data_digest(plain)


class ExportSpec(Spec):
    """A model with its weights, exported to one file.

    `preprocess` overrides the model's own protocol; `background` names the output that is no
    class of the dataset (0 for networks with a background class first); only for ONNX files.
    `output` names the scores of an ONNX file of several outputs, and `classes` the numbers of
    classes that fit the dataset, by which they are found where no name is given.
    `via` is who converts: torch, or paddle2onnx from a Paddle inference model.
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

    def recipe(self) -> str:
        """As the base, but independent of where a weights file lies.

        The usual format, route and output are left out, so that a digest means what it meant before
        there was a choice. What `preprocess` leaves open is the model's own, which is said:
        before, it was what ImageNet models usually have.
        """
        usual = {key for key, value in _USUAL.items() if getattr(self, key) == value}
        plain = {key: value for key, value in self.to_json().items() if key not in usual}
        if self.preprocess is not None and not PreprocessSpec.says_all(self.preprocess):
            plain["preprocess_left_open"] = "as published"
        return data_digest({**plain, "weights": self.weights.recipe()})


_USUAL = {"format": "onnx", "via": "torch", "output": None, "classes": ()}


def absolute(path: str | Path) -> str:
    """A user's path made absolute, with ~ and .. resolved."""
    return str(expand_user(path).resolve())
