"""Whether a file can hold weights at all, by its first bytes; nothing of it is loaded."""

from __future__ import annotations

from pathlib import Path

PICKLE, ZIP, TAR = b"\x80", b"PK\x03\x04", b"ustar"
_TAR_OFFSET, _HEADER = 257, 8
PADDLE_INFERENCE = ".pdiparams"


def weights_format_problem(path: Path) -> str | None:
    """Why a file holds no weights; None where its first bytes may be those of a checkpoint.

    PyTorch and Paddle write a ZIP, a pickle or a tar archive; safetensors starts with the length
    of its JSON header. The parameters of a Paddle inference model have no mark of their own.
    """
    if path.suffix == PADDLE_INFERENCE:
        return None
    try:
        with path.open("rb") as stream:
            head = stream.read(_TAR_OFFSET + len(TAR))
    except OSError as error:
        return f"The weights file {path} cannot be read: {error.strerror}."
    if not head:
        return f"The weights file {path.name} is empty (0 bytes)."
    if (
        head.startswith((PICKLE, ZIP))
        or head[_TAR_OFFSET:] == TAR
        or head[_HEADER:].startswith(b"{")
    ):
        return None
    if path.suffix == ".onnx":
        return f"{path.name} is an ONNX file: choose it as the model, not as weights of another."
    return (
        f"{path.name} is not a weights file: it is neither a PyTorch checkpoint nor safetensors "
        f"nor Paddle parameters."
    )
