"""What the vendor's benchmark prints, line by line, in its two layouts.

Layout 1 (2023) has percentiles, temperature and power; layout 2 has samples and the forward time,
spelled "forwad" as the tool does. What cannot be known here says n/a.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

UNKNOWN = "n/a"
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Figures:
    """One measurement. `samples` are images of all processes, `latencies_ms` one a request."""

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


def report(figures: Figures, layout: int = 2) -> str:
    """The whole text, as the tool prints it after a run."""
    return "\n".join([*_header(figures), "", *_LAYOUTS[layout](figures)])


def _header(f: Figures) -> list[str]:
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


def _first(f: Figures) -> list[str]:
    return [
        *_setting(f),
        f"ai utilize (%): {UNKNOWN}",
        f"temperature (°C): {UNKNOWN}",
        f"card power (W): {UNKNOWN}",
        f"die memory used (MB): {UNKNOWN}",
        f"throughput (qps): {f.samples / f.elapsed_s:.6g}",
        "e2e latency (us):",
        *_extremes(f),
        *(f"    p{p} latency: {_us(np.percentile(f.latencies_ms, p))}" for p in PERCENTILES),
        "model latency (us):",
        *(f"    {name} latency: {UNKNOWN}" for name in ("avg", "min", "max")),
        *(f"    p{p} latency: {UNKNOWN}" for p in PERCENTILES),
    ]


def _second(f: Figures) -> list[str]:
    return [
        *_setting(f),
        f"samples: {f.samples}",
        f"forwad time (s): {f.elapsed_s:.6g}",
        f"throughput (qps): {f.samples / f.elapsed_s:.6g}",
        f"ai utilize (%): {UNKNOWN}",
        f"die memory used (MB): {UNKNOWN}",
        "e2e latency (us):",
        *_extremes(f),
        "model latency (us):",
        *(f"    {name} latency: {UNKNOWN}" for name in ("avg", "min", "max")),
    ]


_LAYOUTS: dict[int, Callable[[Figures], list[str]]] = {1: _first, 2: _second}


def _setting(f: Figures) -> list[str]:
    return [
        f"- number of instances in each device: {f.instances}",
        f"devices: [{','.join(str(device) for device in f.devices)}]",
        f"batch size: {f.batch}",
    ]


def _extremes(f: Figures) -> list[str]:
    return [
        f"    avg latency: {_us(f.latencies_ms.mean())}",
        f"    min latency: {_us(f.latencies_ms.min())}",
        f"    max latency: {_us(f.latencies_ms.max())}",
    ]


def _us(ms: float) -> str:
    return str(round(float(ms) * 1e3))
