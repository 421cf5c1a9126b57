"""Files of prepared squares, and who fills them; light, because every decoding process loads it.

A square is what a network sees before normalization: uint8, planar (3, side, side). `pixels` holds
one after the other at the place of its image, `checks` a CRC-32 of each, 0 where there is none
yet. A square is written before its check and compared with it when read, so that whatever cuts a
write short leaves an image that is not there, never a wrong one. Squares are read, not mapped: a
mapped file counts as the process's memory, and one that was cut short would kill it.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.preprocess import PreprocessSpec, crop_pixels, open_image

Work = Sequence[tuple[int, int, str]]


class PixelCache:
    """The squares of one dataset prepared in one way; any number of processes may share it."""

    def __init__(self, folder: Path, images: int, side: int) -> None:
        self.folder, self.images, self.side = folder, images, side
        self.size = 3 * side * side
        folder.mkdir(parents=True, exist_ok=True)
        self._pixels = os.open(folder / "pixels", os.O_RDWR | os.O_CREAT, 0o644)
        self._checks = os.open(folder / "checks", os.O_RDWR | os.O_CREAT, 0o644)
        if os.fstat(self._pixels).st_size < images * self.size:
            os.ftruncate(self._pixels, images * self.size)
        if os.fstat(self._checks).st_size < images * 4:
            os.ftruncate(self._checks, images * 4)

    def present(self, which: np.ndarray) -> np.ndarray:
        """(n,) booleans: which of these images are there."""
        checks = np.frombuffer(os.pread(self._checks, self.images * 4, 0), np.uint32)
        return np.asarray(checks[which] != 0)

    def read(self, image: int, out: np.ndarray) -> bool:
        """Fills uint8 (3, side, side), contiguous; False if it is not there, or damaged."""
        (check,) = struct.unpack("<I", os.pread(self._checks, 4, image * 4))
        if not check:
            return False
        got = os.preadv(self._pixels, [out.reshape(-1).data], image * self.size)
        return got == self.size and _check_of(out) == check

    def write(self, image: int, square: np.ndarray) -> None:
        """Keeps one square, contiguous. Raises OSError when the disk is full."""
        if os.pwrite(self._pixels, square.reshape(-1).data, image * self.size) != self.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.pwrite(self._checks, struct.pack("<I", _check_of(square)), image * 4)

    def close(self) -> None:
        """Frees the files; what was written stays."""
        os.close(self._pixels)
        os.close(self._checks)


def _check_of(square: np.ndarray) -> int:
    return zlib.crc32(square.reshape(-1).data) or 1


class Filler:
    """Decodes images of a folder into places of shared memory, and keeps them in the cache."""

    def __init__(
        self, root: Path, spec: PreprocessSpec, memory: int, cache: PixelCache | None
    ) -> None:
        """`memory` is the descriptor of a file of whole squares."""
        self.root, self.spec, self.cache = root, spec, cache
        mapped = mmap.mmap(memory, 0)
        self.squares = np.frombuffer(mapped, np.uint8).reshape(-1, 3, spec.crop, spec.crop)

    def fill(self, work: Work) -> bool:
        """Fills places with images (place, image, file); False if the cache's disk is full.

        Raises ImageRejected for an image that cannot be prepared.
        """
        kept = True
        for place, image, name in work:
            pixels = crop_pixels(open_image(self.root / name, name), self.spec)
            np.copyto(self.squares[place], pixels.transpose(2, 0, 1))
            if self.cache is not None:
                kept = self._keep(image, place) and kept
        return kept

    def _keep(self, image: int, place: int) -> bool:
        assert self.cache is not None
        try:
            self.cache.write(image, self.squares[place])
        except OSError:
            return False
        return True
