"""The rounds of a running session in a file, so that a stopped session goes on with its next round.

One npz file per session, replaced after each round and removed at the end. Its name is the digest
of what is measured, so that the same request, given again, continues too.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from engine.benchmark.interference import InterferenceSummary
from engine.benchmark.session import SessionRecord, Turn
from engine.benchmark.windows import Window
from engine.common.files import save_arrays
from engine.config import settings

FORMAT = 1


@dataclass(slots=True)
class SessionCheckpoint:
    """The state of a session; `interference`: a summary of each start of its processes so far."""

    path: Path
    session: str = field(default_factory=lambda: uuid.uuid4().hex)
    record: SessionRecord = field(default_factory=SessionRecord)
    interference: list[InterferenceSummary] = field(default_factory=list)

    @classmethod
    def load(cls, key: str) -> SessionCheckpoint:
        """The checkpoint of a session, by its digest; empty if there is none or it is damaged."""
        path = settings().folder("cache/sessions") / f"{key}.npz"
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                return _from_arrays(path, {name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, BadZipFile):
            return cls(path)

    def save(self, running: InterferenceSummary) -> None:
        """Writes the state, with the interference since the processes were started last."""
        turns = [(key, turn) for key, own in self.record.turns.items() for turn in own]
        state = {
            "format": FORMAT,
            "session": self.session,
            "rounds": self.record.rounds,
            "launches": self.record.launches,
            "spent_s": self.record.spent_s,
            "failures": {str(key): text for key, text in self.record.failures.items()},
            "interference": [one.to_json() for one in (*self.interference, running)],
        }
        latencies = [turn.window.latencies_ms for _, turn in turns] or [np.empty(0)]
        save_arrays(
            self.path,
            state=np.array(json.dumps(state)),
            turns=np.array(
                [(key, t.number, t.launch, t.position, t.window.images) for key, t in turns], int
            ).reshape(-1, 5),
            times=np.array(
                [(t.window.elapsed_s, t.machine_gflops or np.nan) for _, t in turns]
            ).reshape(-1, 2),
            sizes=np.array([t.window.latencies_ms.size for _, t in turns], int),
            latencies_ms=np.concatenate(latencies),
        )

    def remove(self) -> None:
        """Deletes the file of a finished session."""
        self.path.unlink(missing_ok=True)


def _from_arrays(path: Path, arrays: dict[str, np.ndarray]) -> SessionCheckpoint:
    state = json.loads(str(arrays["state"]))
    if state["format"] != FORMAT:
        raise ValueError(f"format {state['format']}")
    parts = np.split(arrays["latencies_ms"], np.cumsum(arrays["sizes"])[:-1])
    turns: dict[int, list[Turn]] = {}
    for whole, (elapsed_s, gflops), latencies_ms in zip(
        arrays["turns"].tolist(), arrays["times"].tolist(), parts, strict=False
    ):
        key, number, launch, position, images = whole
        window = Window(elapsed_s, images, latencies_ms)
        reading = None if np.isnan(gflops) else gflops
        turns.setdefault(key, []).append(Turn(number, launch, position, window, reading))
    record = SessionRecord(
        turns=turns,
        rounds=int(state["rounds"]),
        launches=int(state["launches"]),
        spent_s=float(state["spent_s"]),
        failures={int(key): str(text) for key, text in state["failures"].items()},
    )
    observed = [InterferenceSummary.from_json(one) for one in state["interference"]]
    return SessionCheckpoint(path, str(state["session"]), record, observed)
