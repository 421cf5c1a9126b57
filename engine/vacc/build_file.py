"""Reads a build file of vamc, in either of its two schemas, into one frozen description.

Schemas: `name/frontend/backend/graph/dataset/workspace` (current) and
`model/engine/dataset/workspace` (2023). Keys without effect here are listed: those of the vendor's
chip in `ignored`, all others in `warnings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from db.enums import Precision
from engine.errors import VaccFileInvalid
from engine.preprocess import PreprocessSpec
from engine.specs import CalibrationMode
from engine.specs.precisions import file_precision
from engine.text import cut, quoted
from engine.vacc.build_keys import Draft, fill_draft
from engine.vacc.build_schemas import SCHEMAS
from engine.vacc.process_ops import parse_process_ops
from engine.vacc.yaml_text import Entry, read_yaml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,120}")
OLD_SCHEMA, NEW_SCHEMA = "model/engine", "frontend/backend"


@dataclass(frozen=True, slots=True)
class BuildFile:
    """The contents of a build file. Paths are as written, relative to the current folder."""

    name: str
    schema: str
    checkpoint: str
    weights_key: str | None
    input_name: str
    side: int
    precision: Precision
    softmax: bool
    mode: CalibrationMode
    percentile: float | None
    per_channel: bool
    keep_in_float: tuple[int, ...]
    dataset: str | None
    suffix: str
    images: int | None
    preprocess: PreprocessSpec | None
    workspace: str
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def prefix(self) -> Path:
        """Path prefix of the compiled files, as the vendor's compiler sets it.

        Current schema: `<workspace>/<name>/mod`; old schema:
        `<workspace>/<name>-<precision>-<mode or none>-3_<side>_<side>-vacc/<name>`.
        """
        if self.schema == NEW_SCHEMA:
            return Path(self.workspace) / self.name / "mod"
        mode = self.mode if file_precision(self.precision) == Precision.INT8 else "none"
        folder = f"{self.name}-{self.precision}-{mode}-3_{self.side}_{self.side}-vacc"
        return Path(self.workspace) / folder / self.name


def read_build_file(path: Path) -> BuildFile:
    """Reads a build file. Raises VaccFileInvalid with file, line and allowed values."""
    return parse_build_file(read_yaml(path), path.name)


def parse_build_file(root: Entry, file: str) -> BuildFile:
    """As `read_build_file`, from a parsed YAML document; `file` is its name in messages."""
    schema = _detect_schema(root, file)
    draft = Draft(file)
    fill_draft(draft, root, SCHEMAS[schema])
    _check_required_keys(draft, root)
    preprocess = parse_process_ops(draft.ops, draft) if draft.ops is not None else None
    side = draft.shape[2]
    if preprocess is not None and preprocess.crop != side:
        raise VaccFileInvalid(
            f"{file}, line {draft.lines['shape']}: the model takes {side} x {side} pixels, but the "
            f"process ops end at {preprocess.crop} x {preprocess.crop}; make them equal."
        )
    return BuildFile(
        name=draft.name,
        schema=schema,
        checkpoint=draft.checkpoint,
        weights_key=draft.weights_key,
        input_name=draft.input_name,
        side=side,
        precision=draft.precision or Precision.FP16,
        softmax=draft.softmax,
        mode=draft.mode,
        percentile=draft.percentile,
        per_channel=draft.per_channel,
        keep_in_float=draft.keep_in_float,
        dataset=draft.dataset,
        suffix=draft.suffix,
        images=draft.images,
        preprocess=preprocess,
        workspace=draft.workspace,
        ignored=tuple(draft.ignored),
        warnings=tuple(draft.warnings),
    )


def _detect_schema(root: Entry, file: str) -> str:
    keys = set(root.value)
    for schema in (NEW_SCHEMA, OLD_SCHEMA):
        if keys & set(schema.split("/")):
            return schema
    raise VaccFileInvalid(
        f"{file} is not a build file: it has neither frontend and backend nor model and engine, "
        f"only {', '.join(cut(key, 40) for key in sorted(keys)[:5]) or 'nothing'}."
    )


def _check_required_keys(draft: Draft, root: Entry) -> None:
    file = draft.file
    for field, what in (("name", "name"), ("checkpoint", "checkpoint"), ("precision", "precision")):
        if not getattr(draft, field):
            raise VaccFileInvalid(f"{file} has no {what}; add {draft.key_of(field)}.")
    if not _NAME.fullmatch(draft.name) or PurePath(draft.name).name != draft.name:
        raise VaccFileInvalid(
            f"{file}, line {draft.lines['name']}: name is {quoted(draft.name, 60)}; letters, "
            f"digits, dots and dashes are allowed, because it is the name of a folder."
        )
    if not draft.shape:
        raise VaccFileInvalid(f"{file} has no input shape; add {draft.key_of('shape')}.")
    is_int8 = file_precision(str(draft.precision)) == Precision.INT8
    if is_int8 and not draft.dataset:
        raise VaccFileInvalid(
            f"{file} builds int8 but has no calibration images; add {draft.key_of('dataset')}."
        )
    if is_int8 and draft.ops is None:
        draft.warnings.append(f"{file} has no process ops: the preprocessing of the model is used.")
