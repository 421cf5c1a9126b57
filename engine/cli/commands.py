"""The commands of `python -m engine`: the module of each, and its line in the list.

The module of a command is imported when the command is called or its help is shown, so that the
list of commands starts quickly and in little memory.
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

from engine.common.program import MODULE, program

MARKUP: Literal["markdown"] = "markdown"


@dataclass(frozen=True, slots=True)
class Entry:
    """A command (`target` is `module:function`) or a group of commands (`module:app`).

    `summary` is the first line of the command's docstring.
    """

    target: str
    summary: str


COMMANDS: dict[str, Entry] = {
    "models": Entry("models:models", "Lists the 25 models of the catalog."),
    "export": Entry(
        "runs:export",
        "Exports a model to ONNX or TorchScript and verifies its outputs against the framework.",
    ),
    "build": Entry(
        "runs:build",
        "Builds a model in fp32, fp16, bf16 and int8, and exports it first if necessary.",
    ),
    "evaluate": Entry(
        "runs:evaluate",
        "Measures top-1 and top-5 accuracy on a registered dataset, with 95 % intervals.",
    ),
    "run": Entry(
        "runs:run",
        "Exports, builds, benchmarks and (with --dataset) evaluates models; shows the results.",
    ),
    "demo": Entry(
        "runs:demo",
        "Runs the built-in demo: a trained SE network on synthetic images, without any download.",
    ),
    "benchmark": Entry(
        "benchmark:benchmark",
        "Measures latency and throughput, for one setting or for a sweep over several.",
    ),
    "classify": Entry(
        "classify:classify",
        "Classifies image files or folders: the top-5 classes with their probabilities.",
    ),
    "results": Entry(
        "results:results",
        "Shows all results, or exports them as CSV, JSON, Markdown, LaTeX, HTML or Excel.",
    ),
    "recommend": Entry(
        "recommend:recommend_build",
        "Recommends a build under constraints: `Meets constraints`, `Likely` or `Inconclusive`.",
    ),
    "gate": Entry(
        "gate:gate",
        "Decides whether a candidate build may replace a baseline: exit code 0 pass, 1 fail, 2 "
        "open.",
    ),
    "verify": Entry(
        "verify:verify",
        "Holds published top-1 and top-5 against the published weights, evaluated here.",
    ),
    "package": Entry(
        "package:package",
        "Writes the package of a build: model, preprocessing, labels, a script that runs it.",
    ),
    "environment": Entry(
        "environment:environment",
        "Shows the facts of this machine, and the version and precisions of each runtime.",
    ),
    "peak": Entry(
        "peak:peak",
        "Measures the peak compute rate of this machine (GMAC/s), by matrix products.",
    ),
    "profile": Entry(
        "profile:profile",
        "Shows the time of an inference by operator, with the share of SE blocks and conversions.",
    ),
    "layers": Entry(
        "layers:layers",
        "Shows the error of each layer of an int8 build: emulated, and in each runtime.",
    ),
    "draws": Entry(
        "draws:draws",
        "Shows how much top-1 depends on the calibration images: the spread over several draws.",
    ),
    "compare": Entry(
        "compare:compare_evaluations",
        "Compares two evaluations of the same images: paired difference, p-value and agreement.",
    ),
    "vamp": Entry(
        "vendor.vamp:vamp",
        "Benchmarks a build and prints the report in the layout of the vendor's tool.",
    ),
    "image2npz": Entry(
        "vendor.npz:image2npz",
        "Converts images to npz files (uint8 RGB, original size), for `vamp --datalist`.",
    ),
    "vamp_npz_decode": Entry(
        "vendor.scoring:vamp_npz_decode",
        "Writes the top-5 classes of each output file of vamp, one per line, for `eval_topk`.",
    ),
    "eval_topk": Entry(
        "vendor.scoring:eval_topk",
        "Computes top-1 and top-5 from a result file; the image's folder is its label.",
    ),
    "eval_imagenet": Entry(
        "vendor.scoring:eval_imagenet",
        "Computes top-1 and top-5 from the output files of vamp.",
    ),
    "valprep": Entry(
        "vendor.valprep:valprep",
        "Sorts a flat folder of validation images into one folder per class (wnid).",
    ),
    "runs": Entry("run_list:app", "Lists runs: state, progress and best result; names them."),
    "jobs": Entry("jobs:app", "Shows and controls background jobs."),
    "dataset": Entry("dataset:app", "Manages image folders for evaluation and calibration."),
    "weights": Entry("weights:app", "Manages weights files on this machine."),
    "evaluation": Entry("evaluation:app", "Shows single evaluations: accuracy and top confusions."),
    "import": Entry("imports:app", "Imports results of other machines into the results table."),
    "vamc": Entry("vendor.vamc:app", "Builds models from the vendor's build files (YAML)."),
    "artifacts": Entry("artifacts:app", "Shows exports and builds on disk; removes unused ones."),
    "hosts": Entry("hosts:app", "Lists the machines that run jobs, and labels them."),
    "home": Entry("home:app", "Shows the data folder and its database."),
    "store": Entry("store:app", "Uploads what only this home has to the shared store."),
}


@cache
def load_command(name: str) -> typer.core.TyperCommand | typer.core.TyperGroup:
    """The complete command of that name; imports its module."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    command = getattr(import_module(f"engine.cli.{module}"), attribute)
    holder = typer.Typer(rich_markup_mode=MARKUP)
    if isinstance(command, typer.Typer):
        holder.add_typer(command, name=name, help=COMMANDS[name].summary)
    else:
        holder.command(name)(command)
    loaded: Any = typer.main.get_group(holder).commands[name]
    for command in (loaded, *getattr(loaded, "commands", {}).values()):
        command.help = (command.help or "").replace(MODULE, program())
    return loaded


class _LazyCommands(Mapping[str, Any]):
    """The commands as a mapping; reading one imports its module."""

    def __getitem__(self, name: str) -> Any:
        return load_command(name)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _LazyCommand(typer.core.TyperCommand):
    """A command in the list; the real one is loaded when it is called."""

    def make_context(self, info_name: Any, args: list[str], *more: Any, **extra: Any) -> Any:
        """The context of the real command; earlier option names are replaced by present ones."""
        from engine.cli.options import with_current_names

        assert self.name is not None
        command: Any = load_command(self.name)
        called = getattr(command, "commands", {}).get(args[0], command) if args else command
        options = {name for parameter in called.params for name in parameter.opts}
        return command.make_context(info_name, with_current_names(args, options), *more, **extra)


class RootGroup(typer.core.TyperGroup):
    """The group of all commands; it lists them without importing their modules."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": _LazyCommands()})

    def list_commands(self, ctx: Any) -> list[str]:
        """Command names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, which is loaded when it is called."""
        entry = COMMANDS.get(cmd_name)
        return entry and _LazyCommand(name=cmd_name, help=entry.summary)
