"""Every command of `python -m engine`, by name: where it is, and its line in the list.

A command's module is imported when the command is called or asked for help, so that the list and
the other commands do not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

import typer
import typer.core
import typer.main

from engine.cli.renamed_options import Command
from engine.common.program import MODULE, program

MARKUP: Literal["markdown"] = "markdown"


@dataclass(frozen=True, slots=True)
class Entry:
    """A command as `module:function`, or a group of commands as `module:app`, and its line.

    The line of a command is the first of its docstring.
    """

    where: str
    line: str


COMMANDS: dict[str, Entry] = {
    "models": Entry("models:models", "Lists the 25 models of the catalog."),
    "export": Entry(
        "runs:export",
        "Exports a model to ONNX or TorchScript and checks it against its framework.",
    ),
    "build": Entry(
        "runs:build",
        "Builds a model at the precisions asked for (exporting it first if need be).",
    ),
    "evaluate": Entry(
        "runs:evaluate",
        "Measures top-1 and top-5 on a registered dataset, with intervals, keeping every image.",
    ),
    "run": Entry(
        "runs:run",
        "The whole chain: export, build, evaluate (with --dataset) and benchmark, then the table.",
    ),
    "demo": Entry(
        "runs:demo",
        "Runs the built-in demo: a trained SE network on images the workbench draws itself.",
    ),
    "benchmark": Entry(
        "benchmark:benchmark",
        "Measures speed, alone on the machine: one setting, or every combination of several.",
    ),
    "classify": Entry(
        "classify:classify",
        "Classifies images: the five best classes with their probabilities, and the time it took.",
    ),
    "results": Entry(
        "results:results",
        "Shows or exports every result; CSV and JSON hold all columns at full precision.",
    ),
    "peak": Entry(
        "peak:peak",
        "Measures what the machine can do at most (GMAC/s), "
        "by matrix products; once, then shows it.",
    ),
    "profile": Entry(
        "profile:profile",
        "Shows what takes the time of an inference: by operator, SE blocks apart, "
        "conversions apart.",
    ),
    "compare": Entry(
        "compare:compare_both",
        "Compares two evaluations of the same images: paired difference, exact p, "
        "flips, agreement.",
    ),
    "vamp": Entry(
        "vendor.vamp:vamp",
        "Measures a build's speed and prints it in the layout of the vendor's tool.",
    ),
    "image2npz": Entry(
        "vendor.npz:image2npz",
        "Writes each image as uint8 RGB at its own size, for `vamp --datalist`.",
    ),
    "vamp_npz_decode": Entry(
        "vendor.scoring:vamp_npz_decode",
        "Writes the five best classes of each output, one line each, for `eval_topk`.",
    ),
    "eval_topk": Entry(
        "vendor.scoring:eval_topk",
        "Top-1 and top-5 of a result file, by class index; the truth is the image's folder.",
    ),
    "eval_imagenet": Entry(
        "vendor.scoring:eval_imagenet",
        "Top-1 and top-5 of vamp's outputs, by class index.",
    ),
    "valprep": Entry(
        "vendor.valprep:valprep",
        "Sorts validation images into folders named by wnid; the source stays as it is.",
    ),
    "jobs": Entry("jobs:app", "Background jobs."),
    "dataset": Entry("dataset:app", "Labeled image folders to evaluate and calibrate on."),
    "weights": Entry("weights:app", "Weights kept on this machine."),
    "evaluation": Entry("evaluation:app", "Single evaluations, image by image."),
    "import": Entry("imports:app", "Results of other machines, in the same table."),
    "vamc": Entry("vendor.vamc:app", "Builds what the vendor's build files describe."),
    "artifacts": Entry("artifacts:app", "What the artifact store holds, and what may go."),
    "home": Entry("home:app", "The folder of all data, and the database that is its own."),
}


@cache
def load(name: str) -> typer.core.TyperCommand | typer.core.TyperGroup:
    """The command of that name, whole, with its module imported."""
    module, _, attribute = COMMANDS[name].where.partition(":")
    found = getattr(import_module(f"engine.cli.{module}"), attribute)
    holder = typer.Typer(rich_markup_mode=MARKUP)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name, help=COMMANDS[name].line)
    else:
        holder.command(name, cls=Command)(found)
    loaded: Any = typer.main.get_group(holder).commands[name]
    for command in (loaded, *getattr(loaded, "commands", {}).values()):
        command.help = (command.help or "").replace(MODULE, program())
    return loaded


class _Commands(Mapping[str, Any]):
    """The table as a group holds its commands; taking one out loads it."""

    def __getitem__(self, name: str) -> Any:
        return load(name)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Line(typer.core.TyperCommand):
    """A command as the list shows it; it is loaded when it is called."""

    def make_context(self, *given: Any, **extra: Any) -> Any:
        """Of the command itself, which the context then belongs to."""
        assert self.name is not None
        return load(self.name).make_context(*given, **extra)


class Root(typer.core.TyperGroup):
    """The group of all commands; its list of them needs none of their modules."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given | {"commands": _Commands()})

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The line of a command, which loads the command when it is called."""
        entry = COMMANDS.get(cmd_name)
        return entry and _Line(name=cmd_name, help=entry.line)
