"""`image2npz` and `vamp_npz_decode`: the files before and after the vendor's benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.options import Json
from engine.cli.output import emit_json, note, progress_bar
from engine.config import settings
from engine.vacc.image_files import SUFFIX, convert, find_images

SHOWN = 20


def image2npz(
    dataset_path: Annotated[
        Path, typer.Option("--dataset_path", help="Folder of images, searched with its subfolders.")
    ],
    target_path: Annotated[Path, typer.Option("--target_path", help="Folder for the npz files.")],
    text_path: Annotated[
        Path, typer.Option("--text_path", help="The list of them that is written.")
    ] = Path("npz.txt"),
    suffix: Annotated[str, typer.Option(help="What the images' names end in.")] = SUFFIX,
    json: Json = False,
) -> int:
    """Writes each image as uint8 RGB at its own size, for `vamp --datalist`.

    Example: `python -m engine image2npz --dataset_path val --target_path npz --text_path npz.txt`
    """
    images = find_images(dataset_path, suffix)
    with progress_bar() as progress:
        bar = progress.add_task("Images", total=len(images))
        made = convert(
            images,
            target_path,
            text_path,
            settings().threads,
            lambda done, total: progress.update(bar, completed=done),
        )
    for image, reason in made.left_out[:SHOWN]:
        note(f"Left out: {image}: {reason}")
    if json:
        left_out = [[str(image), reason] for image, reason in made.left_out]
        emit_json({"files": len(made.files), "list": str(text_path), "left_out": left_out})
    else:
        note(f"{len(made.files):,} files are in {target_path}, listed in {text_path}.")
    if made.left_out:
        note(f"{len(made.left_out):,} images could not be read and are not in the list.")
    return 1 if made.left_out else 0
