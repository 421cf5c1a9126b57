"""The 25 models of the catalog, with their published figures and the protocol behind them."""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.common.untrusted import plain_name
from engine.errors import InvalidRequest
from engine.preprocess import PreprocessSpec
from engine.text import quoted

MOST_NAME = 180  # of a model's id, as its column holds it
SOURCE_LABELS = {
    "timm": "timm",
    "mmcls": "mmcls (OpenMMLab)",
    "ppcls": "PaddleClas",
    "onnx": "ONNX file",
    "demo": "built-in demo",
}


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """One row: percent for accuracies, G for the published FLOPs column, M for parameters.

    `preprocess` is the protocol the published accuracy was measured with; None means that the
    model's own configuration decides (timm names outside the catalog).
    """

    source: str
    name: str
    architecture: str
    weights_ref: str | None = None
    published_top1: float | None = None
    published_top5: float | None = None
    published_flops_g: float | None = None
    published_params_m: float | None = None
    preprocess: PreprocessSpec | None = None
    in_catalogue: bool = False

    @property
    def id(self) -> str:
        """`source/name`, as it is written everywhere."""
        return f"{self.source}/{self.name}"


@lru_cache(maxsize=1)
def catalog() -> dict[str, CatalogModel]:
    """All rows by id, in the order of the file."""
    with (Path(__file__).parent / "catalog.csv").open(newline="") as stream:
        models = [_model(row) for row in csv.DictReader(stream)]
    return {model.id: model for model in models}


def _model(row: dict[str, str]) -> CatalogModel:
    return CatalogModel(
        source=row["source"],
        name=row["name"],
        architecture=row["architecture"],
        weights_ref=row["weights"],
        published_top1=float(row["published_top1"]),
        published_top5=float(row["published_top5"]),
        published_flops_g=float(row["published_flops_g"]),
        published_params_m=float(row["published_params_m"]),
        preprocess=PreprocessSpec.from_dict(
            {
                "resize": int(row["resize"]),
                "crop": int(row["input_size"]),
                "interpolation": row["interpolation"],
                "resizer": row["resizer"],
            }
        ),
        in_catalogue=True,
    )


def find_model(model_id: str) -> CatalogModel:
    """The model of an id such as `timm/seresnet50`.

    Any `timm/<name>` is accepted (timm knows whether it exists when the export runs), and
    `onnx/<stem>` and `demo/senet`. Raises InvalidRequest with close matches otherwise, and for
    names that could not be printed, stored, or be part of a path.
    """
    if model_id in catalog():
        return catalog()[model_id]
    source, _, name = model_id.partition("/")
    if source in ("timm", "onnx", "demo") and name:
        name = plain_name(model_id, "The model", MOST_NAME).partition("/")[2]
        if any(part.strip() in ("", ".", "..") for part in name.split("/")) or "\\" in name:
            raise InvalidRequest(
                f"{quoted(model_id)} is no name of a model: it reads as a path. `models` lists "
                f"what there is; a file is given with --weights FILE."
            )
        return CatalogModel(source=source, name=name, architecture=name)
    close = difflib.get_close_matches(model_id[:MOST_NAME], catalog(), n=3, cutoff=0.4)
    hint = f" Did you mean {', '.join(close)}?" if close else " `models` lists what there is."
    raise InvalidRequest(f"There is no model {quoted(model_id)}.{hint}")
