"""`valprep`: sorts a flat folder of validation images into one folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import option_groups as g
from engine.cli.option_groups import expand_groups
from engine.cli.options import Json
from engine.cli.output import emit_json, note, progress_bar
from engine.datasets.sorting import sort_by_class


@expand_groups
def valprep(
    folder: Annotated[Path, typer.Argument(help="Flat folder of validation images.")],
    target: Annotated[Path, typer.Argument(help="Folder to write: one subfolder per class.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Label file, in the format of `dataset add`. Default: val_label.txt in the folder."
        ),
    ] = None,
    *,
    labeling: g.LabelOptions,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the images instead of creating hard links.")
    ] = False,
    json: Json = False,
) -> None:
    """Sorts a flat folder of validation images into one folder per class (wnid).

    The source folder is not changed.

    Example: `python -m engine valprep ILSVRC2012_img_val val --labels val_label.txt`
    """
    with progress_bar() as progress:
        bar = progress.add_task("Images", total=None)
        result = sort_by_class(
            folder,
            labeling.labeling_of(labels),
            target,
            copy,
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    if json:
        emit_json(
            {
                "images": result.images,
                "classes": result.classes,
                "made": result.created,
                "notes": list(result.notes),
            }
        )
    else:
        for text in result.notes:
            note(text)
        existing = result.images - result.created
        note(
            f"{result.images:,} images of {result.classes:,} classes are in {target}, verified: "
            f"{result.created:,} new, {existing:,} existed before."
        )
