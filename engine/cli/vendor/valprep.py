"""`valprep`: a flat validation folder becomes a folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import option_groups as g
from engine.cli.option_grouping import grouped
from engine.cli.options import Json
from engine.cli.output import emit_json, note, progress_bar
from engine.datasets.sorting import sort_by_class


@grouped
def valprep(
    folder: Annotated[Path, typer.Argument(help="A flat folder of validation images.")],
    target: Annotated[Path, typer.Argument(help="Folder that gets a folder per class.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Label file, as of `dataset add`; val_label.txt in the folder if left out."
        ),
    ] = None,
    *,
    labeling: g.Labeling,
    copy: Annotated[bool, typer.Option("--copy", help="Copy instead of hard links.")] = False,
    json: Json = False,
) -> None:
    """Sorts validation images into folders named by wnid; the source stays as it is.

    Example: `python -m engine valprep ILSVRC2012_img_val val --labels val_label.txt`
    """
    with progress_bar() as progress:
        bar = progress.add_task("Images", total=None)
        found = sort_by_class(
            folder,
            labeling.of(labels),
            target,
            copy,
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    if json:
        emit_json(
            {
                "images": found.images,
                "classes": found.classes,
                "made": found.created,
                "notes": list(found.notes),
            }
        )
    else:
        for text in found.notes:
            note(text)
        there = found.images - found.created
        note(
            f"{found.images:,} images of {found.classes:,} classes are in {target}, verified: "
            f"{found.created:,} made now, {there:,} there before."
        )
