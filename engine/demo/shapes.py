"""The sixteen shapes of the demo, each as a signed distance on a unit canvas.

A shape is a function of (u, v, proportion): u and v are coordinate arrays, the shape fills about
the unit disc, and `proportion` in [0, 1] sets its free parameter (arm width, ring thickness, ...).
The result is negative inside and grows by about one per unit of length outside.
Only +, -, *, /, sqrt, minimum and maximum are used on arrays: IEEE 754 defines their rounding, so
the results are equal on all machines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Shape = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
Point = tuple[float, float]


def _polygon(u: np.ndarray, v: np.ndarray, corners: Sequence[Point]) -> np.ndarray:
    """Signed distance to a simple polygon: nearest edge, sign by the even-odd rule."""
    nearest = np.full(u.shape, np.inf, dtype=u.dtype)
    inside = np.zeros(u.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        edge_x, edge_y = x1 - x0, y1 - y0
        du, dv = u - x0, v - y0
        along = (du * edge_x + dv * edge_y) * (1.0 / (edge_x * edge_x + edge_y * edge_y))
        along = np.minimum(np.maximum(along, 0.0), 1.0)
        off_u, off_v = du - along * edge_x, dv - along * edge_y
        nearest = np.minimum(nearest, off_u * off_u + off_v * off_v)
        if edge_y != 0.0:
            crosses = (v >= y0) != (v >= y1)
            inside ^= crosses & (du < dv * (edge_x / edge_y))
    distance = np.sqrt(nearest)
    return np.where(inside, -distance, distance)


def _circle_point(turn: float, radius: float) -> Point:
    # Rounded, because the last bit of a cosine differs between platforms.
    angle = 2.0 * math.pi * turn
    return round(radius * math.cos(angle), 9), round(radius * math.sin(angle), 9)


def _regular(u: np.ndarray, v: np.ndarray, sides: int) -> np.ndarray:
    return _polygon(u, v, [_circle_point(k / sides, 1.0) for k in range(sides)])


def _disc(u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    return np.sqrt(u * u + v * v) - radius


def _box(u: np.ndarray, v: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    return np.maximum(np.abs(u) - half_width, np.abs(v) - half_height)


def arrow(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    shaft, neck = 0.16 + 0.16 * proportion, 0.05 + 0.15 * proportion
    upper = [(1.0, 0.0), (neck, 0.72), (neck, shaft), (-1.0, shaft)]
    return _polygon(u, v, [*upper, *[(x, -y) for x, y in reversed(upper[1:])]])


def bracket(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    inner = -0.8 + 0.45 + 0.3 * proportion
    corners = [(-0.8, -0.8), (0.8, -0.8), (0.8, inner), (inner, inner), (inner, 0.8), (-0.8, 0.8)]
    return _polygon(u, v, corners)


def chevron(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    depth = 0.55 + 0.25 * proportion
    corners = [(0.8, 0.0), (0.0, 0.85), (-depth, 0.85), (0.8 - depth, 0.0)]
    return _polygon(u, v, [*corners, (-depth, -0.85), (0.0, -0.85)])


def crescent(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    return np.maximum(_disc(u, v, 1.0), -_disc(u - (0.4 + 0.25 * proportion), v, 0.85))


def cross(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    arm = 0.22 + 0.16 * proportion
    return np.minimum(_box(u, v, 0.95, arm), _box(u, v, arm, 0.95))


def disc(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    return _disc(u, v, 0.85 + 0.1 * proportion)


def gear(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    tooth, half = 0.13 + 0.05 * proportion, math.sqrt(0.5)
    diagonal_u, diagonal_v = (u + v) * half, (u - v) * half
    teeth = np.minimum(_box(u, v, 1.0, tooth), _box(u, v, tooth, 1.0))
    teeth = np.minimum(teeth, _box(diagonal_u, diagonal_v, 1.0, tooth))
    teeth = np.minimum(teeth, _box(diagonal_u, diagonal_v, tooth, 1.0))
    return np.minimum(_disc(u, v, 0.72), teeth)


def half_disc(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    shifted = u + 0.4
    return np.maximum(_disc(shifted, v, 1.0), -shifted + 0.15 * proportion)


def heart(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    lobe = 0.5 + 0.04 * proportion
    lobes = np.minimum(_disc(u - 0.35, v - 0.43, lobe), _disc(u - 0.35, v + 0.43, lobe))
    return np.minimum(lobes, _polygon(u, v, [(-0.95, 0.0), (0.0, 0.8), (0.4, 0.0), (0.0, -0.8)]))


def hexagon(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    return _regular(u * (1.0 + 0.1 * proportion), v, 6)


def kite(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    shoulder = 0.3 + 0.2 * proportion
    return _polygon(u, v, [(1.0, 0.0), (shoulder, 0.68), (-1.0, 0.0), (shoulder, -0.68)])


def pentagon(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    return _regular(u * (1.0 + 0.1 * proportion), v, 5)


def ring(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    thickness = 0.35 + 0.25 * proportion
    return np.abs(_disc(u, v, 1.0 - thickness / 2)) - thickness / 2


def square(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    return _box(u, v, 0.78, 0.78 - 0.1 * proportion)


def star(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    radii = (1.0, 0.42 + 0.16 * proportion)
    return _polygon(u, v, [_circle_point(k / 10, radii[k % 2]) for k in range(10)])


def triangle(u: np.ndarray, v: np.ndarray, proportion: float) -> np.ndarray:
    return _regular(u * (1.0 + 0.15 * proportion), v, 3)


SHAPES: dict[str, Shape] = {
    "arrow": arrow,
    "bracket": bracket,
    "chevron": chevron,
    "crescent": crescent,
    "cross": cross,
    "disc": disc,
    "gear": gear,
    "half_disc": half_disc,
    "heart": heart,
    "hexagon": hexagon,
    "kite": kite,
    "pentagon": pentagon,
    "ring": ring,
    "square": square,
    "star": star,
    "triangle": triangle,
}
