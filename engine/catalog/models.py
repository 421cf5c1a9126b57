"""The 25 models of the catalog, with their published figures and preprocessing protocols."""

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

MAX_ID_LENGTH = 180  # length of the database column
SOURCE_LABELS = {
    "timm": "timm",
    "mmcls": "mmcls (OpenMMLab)",
    "ppcls": "PaddleClas",
    "onnx": "ONNX file",
    "demo": "built-in demo",
}


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """One catalog row, or a user's model: accuracies in percent, FLOPs in G, parameters in M.

    `preprocess` is the protocol of the published accuracy; None: the model's own configuration
    decides (timm names outside the catalog).
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
        """The model id, `source/name`."""
        return f"{self.source}/{self.name}"


@lru_cache(maxsize=1)
def catalog() -> dict[str, CatalogModel]:
    """All rows by id, in file order."""
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
    """The model with an id such as `timm/seresnet50`.

    Any `timm/<name>` is accepted (the export checks that it exists), and `onnx/<stem>` and
    `demo/senet`. Raises InvalidRequest, with close matches, for other ids, and for names that
    cannot be printed, stored, or used in a path.
    """
    if model_id in catalog():
        return catalog()[model_id]
    source, _, name = model_id.partition("/")
    if source in ("timm", "onnx", "demo") and name:
        name = plain_name(model_id, "The model", MAX_ID_LENGTH).partition("/")[2]
        if any(part.strip() in ("", ".", "..") for part in name.split("/")) or "\\" in name:
            raise InvalidRequest(
                f"{quoted(model_id)} is not a model name: it looks like a path. List the models "
                f"with `models`; give a weights file with --weights FILE."
            )
        return CatalogModel(source=source, name=name, architecture=name)
    close = difflib.get_close_matches(model_id[:MAX_ID_LENGTH], catalog(), n=3, cutoff=0.4)
    hint = f" Did you mean {', '.join(close)}?" if close else " List the models with `models`."
    raise InvalidRequest(f"There is no model {quoted(model_id)}.{hint}")
