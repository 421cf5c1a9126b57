"""A TCP proxy that can stop forwarding, as a network that drops everything."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """Forwards connections at `port` of this machine to another port, while it is `open`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.open = threading.Event()
        self.open.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Nothing passes any more; connections stay, and nobody is told."""
        self.open.clear()

    def mend(self) -> None:
        """All passes again, also what was sent meanwhile."""
        self.open.set()

    def close(self) -> None:
        """Accepts no more connections."""
        self.mend()
        self.listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.open.wait()
                sink.sendall(data)
        self.open.wait()
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
