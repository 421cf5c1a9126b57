"""Former names of options: still accepted, not shown in the help."""

from __future__ import annotations

from typing import Any

import typer.core

CURRENT_NAMES = {
    "--again": "--ignore-cache",
    "--calibrate": "--calibration-method",
    "--calibrate-on": "--calibration-dataset",
    "--instances": "--concurrency",
    "--keep-in-float": "--exclude-layers",
    "--max-seconds": "--max-duration",
    "--resizer": "--resize-library",
    "--via": "--exporter",
}
"""The current name of an option by its former name."""


class Command(typer.core.TyperCommand):
    """A command that also accepts former names of its options."""

    def make_parser(self, ctx: Any) -> Any:
        """The parser, with former names that are not options of their own."""
        parser = super().make_parser(ctx)
        for former, current in CURRENT_NAMES.items():
            if current in parser._long_opt:
                parser._long_opt.setdefault(former, parser._long_opt[current])
        return parser
