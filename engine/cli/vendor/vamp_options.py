"""The flags of the vendor's `vamp`, by its own names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str, typer.Option("--model", "-m", help="The prefix `vamc compile` wrote, or a digest.")
]
Bare = Annotated[
    list[str] | None,
    typer.Argument(help="A flag without its dash, as documents have it: `p 1`."),
]
VdspParams = Annotated[
    Path | None, typer.Option("--vdsp_params", help="How images are prepared, as JSON.")
]
Instances = Annotated[
    int | None, typer.Option("-i", min=1, help="Instances in each process. 1 if left out.")
]
Processes = Annotated[int | None, typer.Option("-p", min=1, help="Processes. 1 if left out.")]
Batch = Annotated[int | None, typer.Option("-b", min=1, help="Images a request. 1 if left out.")]
Shape = Annotated[
    str | None, typer.Option("-s", help="Input shape without the batch: `[3,224,224]`.")
]
Devices = Annotated[
    str | None, typer.Option("-d", help="Devices, `0` or `[0]`; of no effect here.")
]
Iterations = Annotated[
    int | None, typer.Option("--iterations", min=1, help="Images each process does at least.")
]
Datalist = Annotated[
    Path | None, typer.Option("--datalist", help="List of input npz files, from image2npz.")
]
PathOutput = Annotated[
    Path | None, typer.Option("--path_output", help="Folder for one output npz each.")
]
ForwardMode = Annotated[
    int | None, typer.Option("--forward_mode", help="Requests are always synchronous here.")
]
Dtype = Annotated[str | None, typer.Option("--dtype", help="Type of the input; of no effect here.")]
Layout = Annotated[
    int, typer.Option(min=1, max=2, help="1: of 2023, with percentiles; 2: of today.")
]
