"""The cache files of preprocessed images, and the decoder that fills them.

Kept small, because every decoding process imports it. A cached image is the model input before
normalization: uint8, planar (3, side, side). File `pixels` contains them in the order of the
dataset, file `checks` a CRC-32 for each, 0 if the image is not cached. The pixels are written
before the checksum and verified when read, so an interrupted write leaves a missing image, never a
wrong one. The files are read, not memory-mapped: mapped pages count as memory of the process, and
a truncated file would kill it.
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
"""(slot in shared memory, index of the image, file) of each image to decode."""


class PixelCache:
    """Cached images of one dataset and one preprocessing; several processes may share it."""

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

    def is_cached(self, images: np.ndarray) -> np.ndarray:
        """Booleans (n,) for the indices `images` (n,)."""
        checks = np.frombuffer(os.pread(self._checks, self.images * 4, 0), np.uint32)
        return np.asarray(checks[images] != 0)

    def read(self, image: int, out: np.ndarray) -> bool:
        """Reads into `out`, uint8 (3, side, side), contiguous; False if missing or damaged."""
        (checksum,) = struct.unpack("<I", os.pread(self._checks, 4, image * 4))
        if not checksum:
            return False
        n_read = os.preadv(self._pixels, [out.reshape(-1).data], image * self.size)
        return n_read == self.size and _checksum(out) == checksum

    def write(self, image: int, pixels: np.ndarray) -> None:
        """Stores uint8 (3, side, side), contiguous. Raises OSError when the disk is full."""
        if os.pwrite(self._pixels, pixels.reshape(-1).data, image * self.size) != self.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.pwrite(self._checks, struct.pack("<I", _checksum(pixels)), image * 4)

    def close(self) -> None:
        """Closes the files."""
        os.close(self._pixels)
        os.close(self._checks)


def _checksum(pixels: np.ndarray) -> int:
    return zlib.crc32(pixels.reshape(-1).data) or 1


class ImageDecoder:
    """Decodes images of a folder into slots of shared memory, and writes them to the cache."""

    def __init__(
        self, root: Path, spec: PreprocessSpec, memory: int, cache: PixelCache | None
    ) -> None:
        """`memory` is the descriptor of the shared file, of whole slots."""
        self.root, self.spec, self.cache = root, spec, cache
        mapped = mmap.mmap(memory, 0)
        self.slots = np.frombuffer(mapped, np.uint8).reshape(-1, 3, spec.crop, spec.crop)

    def decode(self, work: Work) -> bool:
        """Decodes each image into its slot; False if the cache's disk is full.

        Raises ImageRejected for an image that cannot be preprocessed.
        """
        all_cached = True
        for slot, image, name in work:
            pixels = crop_pixels(open_image(self.root / name, name), self.spec)
            np.copyto(self.slots[slot], pixels.transpose(2, 0, 1))
            if self.cache is not None:
                all_cached = self._write_to_cache(image, slot) and all_cached
        return all_cached

    def _write_to_cache(self, image: int, slot: int) -> bool:
        assert self.cache is not None
        try:
            self.cache.write(image, self.slots[slot])
        except OSError:
            return False
        return True
