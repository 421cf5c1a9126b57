"""`image2npz`: input files for the vendor's benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.options import Json
from engine.cli.output import emit_json, note, progress_bar
from engine.config import settings
from engine.vacc.image_files import SUFFIX, convert_images, find_images

MAX_SHOWN = 20


def image2npz(
    dataset_path: Annotated[
        Path, typer.Option("--dataset_path", help="Folder of images, including its subfolders.")
    ],
    target_path: Annotated[
        Path, typer.Option("--target_path", help="Folder for the npz files, one per image.")
    ],
    text_path: Annotated[
        Path, typer.Option("--text_path", help="File for the list of npz files, one path per line.")
    ] = Path("npz.txt"),
    suffix: Annotated[str, typer.Option(help="Suffix of the image files.")] = SUFFIX,
    json: Json = False,
) -> int:
    """Converts images to npz files (uint8 RGB, original size), for `vamp --datalist`.

    Example: `python -m engine image2npz --dataset_path val --target_path npz --text_path npz.txt`
    """
    images = find_images(dataset_path, suffix)
    with progress_bar() as progress:
        bar = progress.add_task("Images", total=len(images))
        converted = convert_images(
            images,
            target_path,
            text_path,
            settings().threads,
            lambda done, total: progress.update(bar, completed=done),
        )
    for image, reason in converted.left_out[:MAX_SHOWN]:
        note(f"Skipped: {image}: {reason}")
    if json:
        left_out = [[str(image), reason] for image, reason in converted.left_out]
        emit_json({"files": len(converted.files), "list": str(text_path), "left_out": left_out})
    else:
        note(f"{len(converted.files):,} files are in {target_path}, listed in {text_path}.")
    if converted.left_out:
        note(f"{len(converted.left_out):,} images could not be read and are not in the list.")
    return 1 if converted.left_out else 0
