"""The report of the vendor's benchmark, in its two layouts.

Layout 1 (2023) has percentiles, temperature and power; layout 2 has samples and the forward time,
spelled "forwad" as in the tool. Values that are not available here are n/a. Latencies are in
microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

NOT_AVAILABLE = "n/a"
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class ReportFigures:
    """A measurement: `samples` are the images of all processes, `latencies_ms` one per request."""

    side: int
    outputs: int
    instances: int
    processes: int
    devices: tuple[int, ...]
    batch: int
    samples: int
    elapsed_s: float
    latencies_ms: np.ndarray
    started: datetime
    ended: datetime


def format_report(figures: ReportFigures, layout: int = 2) -> str:
    """The complete report, as the tool prints it."""
    return "\n".join([*_header(figures), "", *_LAYOUTS[layout](figures)])


def _header(f: ReportFigures) -> list[str]:
    return [
        f"[max_batch_size_]: {f.batch}",
        "[input_count]: 1",
        f"input[0]: [3,{f.side},{f.side}], dtype:u1",
        "[output_count]: 1",
        f"output[0]: [1,{f.outputs}], dtype:f4",
        "",
        f"*** number of instances in each device:{f.instances} ****",
        f"Inference start time: [{f.started:%Y-%m-%d %H:%M:%S}]",
        f"Inference end time: [{f.ended:%Y-%m-%d %H:%M:%S}]",
        f"number of samples in each process: {f.samples // f.processes}",
        f"number of process:{f.processes}",
    ]


def _layout_1(f: ReportFigures) -> list[str]:
    return [
        *_conditions_lines(f),
        f"ai utilize (%): {NOT_AVAILABLE}",
        f"temperature (°C): {NOT_AVAILABLE}",
        f"card power (W): {NOT_AVAILABLE}",
        f"die memory used (MB): {NOT_AVAILABLE}",
        f"throughput (qps): {f.samples / f.elapsed_s:.6g}",
        "e2e latency (us):",
        *_latency_lines(f),
        *(
            f"    p{p} latency: {_microseconds(np.percentile(f.latencies_ms, p))}"
            for p in PERCENTILES
        ),
        "model latency (us):",
        *(f"    {name} latency: {NOT_AVAILABLE}" for name in ("avg", "min", "max")),
        *(f"    p{p} latency: {NOT_AVAILABLE}" for p in PERCENTILES),
    ]


def _layout_2(f: ReportFigures) -> list[str]:
    return [
        *_conditions_lines(f),
        f"samples: {f.samples}",
        f"forwad time (s): {f.elapsed_s:.6g}",
        f"throughput (qps): {f.samples / f.elapsed_s:.6g}",
        f"ai utilize (%): {NOT_AVAILABLE}",
        f"die memory used (MB): {NOT_AVAILABLE}",
        "e2e latency (us):",
        *_latency_lines(f),
        "model latency (us):",
        *(f"    {name} latency: {NOT_AVAILABLE}" for name in ("avg", "min", "max")),
    ]


_LAYOUTS: dict[int, Callable[[ReportFigures], list[str]]] = {1: _layout_1, 2: _layout_2}


def _conditions_lines(f: ReportFigures) -> list[str]:
    return [
        f"- number of instances in each device: {f.instances}",
        f"devices: [{','.join(str(device) for device in f.devices)}]",
        f"batch size: {f.batch}",
    ]


def _latency_lines(f: ReportFigures) -> list[str]:
    return [
        f"    avg latency: {_microseconds(f.latencies_ms.mean())}",
        f"    min latency: {_microseconds(f.latencies_ms.min())}",
        f"    max latency: {_microseconds(f.latencies_ms.max())}",
    ]


def _microseconds(ms: float) -> str:
    return str(round(float(ms) * 1e3))
