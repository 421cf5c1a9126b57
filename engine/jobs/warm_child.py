"""A child process that keeps models loaded between requests, for work with a runtime or torch.

One thread of this process owns the child. It takes requests from a queue in order, so that threads
(the sessions of a Streamlit server) never mix up answers. The thread lives as long as this process:
on Linux a child is killed with the thread that started it (see `lifeline`).

Memory is limited by polling the child's resident set size every `POLL_INTERVAL_S`. RLIMIT_AS and
RLIMIT_DATA count reserved memory, of which the libraries here reserve gigabytes without using it.
"""

from __future__ import annotations

import queue
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType

import psutil

from engine.common.error_sentences import error_message
from engine.config import REPOSITORY, child_command, child_environment, settings
from engine.errors import ChildFailed, WorkbenchError
from engine.jobs.messages import Message, receive, send

POLL_INTERVAL_S = 0.05
QUEUE_TIMEOUT_S = 300.0
"""Maximum time that a request waits in the queue."""
EXIT_WAIT_S = 2.0
MAX_MEMORY_BYTES = 8 * 2**30
_KINDS = {kind.__name__: kind for kind in WorkbenchError.__subclasses__()}


def memory_limit() -> int:
    """Memory limit of a warm child in bytes: half of the machine's memory, 8 GiB at most."""
    return min(MAX_MEMORY_BYTES, psutil.virtual_memory().total // 2)


@dataclass(frozen=True, slots=True)
class _Request:
    message: Message
    seconds: float
    answer: Future[Message] = field(default_factory=Future)


class WarmChild:
    """Starts the child with the first request, ends it when idle, restarts it after a crash."""

    def __init__(
        self, table: str, name: str, idle_s: float = 300.0, memory_bytes: int | None = None
    ) -> None:
        """`table`: `module:mapping` of handlers (see `warm_worker`); `name`: purpose, for logs."""
        self.table, self.name, self.idle_s = table, name, idle_s
        self.memory_bytes = memory_limit() if memory_bytes is None else memory_bytes
        self._queue: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._owner: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._environment: dict[str, str] = {}

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while it is not running."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def ask(self, task: str, seconds: float, facts: dict[str, object], *blocks: bytes) -> Message:
        """The child's answer. `seconds`: time limit of the work, including the start of the child.

        Raises the WorkbenchError that the work raised, and ChildFailed where the time or memory
        limit was exceeded, the child crashed, or the request waited too long in the queue.
        """
        request = _Request(Message({**facts, "task": task}, blocks), seconds)
        with self._lock:
            if self._owner is None:
                self._owner = threading.Thread(
                    target=self._serve_queue, name=self.name, daemon=True
                )
                self._owner.start()
        self._queue.put(request)
        try:
            return request.answer.result(QUEUE_TIMEOUT_S)
        except TimeoutError:
            if request.answer.cancel():
                raise ChildFailed(
                    f"Earlier requests took over {QUEUE_TIMEOUT_S:.0f} s: try again later."
                ) from None
            return request.answer.result()  # it is running and ends by its own time limit
        finally:
            request.answer.cancel()  # an interrupted caller leaves no work in the queue

    def _serve_queue(self) -> None:
        while True:
            try:
                request = self._queue.get(timeout=self.idle_s if self._process else None)
            except queue.Empty:
                self._stop_child()
                continue
            if request.answer.set_running_or_notify_cancel():
                try:
                    request.answer.set_result(self._answer(request))
                except BaseException as error:
                    request.answer.set_exception(error)
            del request  # frees the bytes of its image

    def _answer(self, request: _Request) -> Message:
        try:
            answer = self._exchange(request)
        except BaseException as error:
            self._stop_child()  # the connection may have a partial message
            if isinstance(error, OSError):
                raise ChildFailed(error_message(error) or str(error)) from error
            raise
        if "error" in answer.facts:
            raise _KINDS.get(answer.facts["error"], ChildFailed)(answer.facts["sentence"])
        return answer

    def _exchange(self, request: _Request) -> Message:
        """Raises ChildFailed without an answer, OSError where the child cannot be started."""
        process, connection = self._running()
        answer = None
        with _LimitMonitor(process, request.seconds, self.memory_bytes) as monitor:
            with suppress(OSError, EOFError, ValueError):
                send(connection, request.message)
                answer = receive(connection)
            if answer is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(EXIT_WAIT_S)  # its exit code explains more
        if answer is None or monitor.stop_reason:
            self._stop_child()
            raise ChildFailed(monitor.stop_reason or self._crash_message(process.returncode))
        return answer

    def _running(self) -> tuple[subprocess.Popen[bytes], Connection]:
        """The child and its connection; a new child after a crash or a change of the settings."""
        environment = child_environment()
        process, connection = self._process, self._connection
        if process is not None and connection is not None:
            if process.poll() is None and environment == self._environment:
                return process, connection
            self._stop_child()
        own, other = socket.socketpair()
        with own, other, (settings().folder("logs") / f"{self.name}.log").open("wb") as log:
            self._process = process = subprocess.Popen(
                child_command("engine.jobs.warm_worker", self.table, str(other.fileno())),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
                env=environment,
                start_new_session=True,
                pass_fds=(other.fileno(),),
            )
            self._connection = connection = Connection(own.detach())
        self._environment = environment
        return process, connection

    def _stop_child(self) -> None:
        """Kills the child, if it is running."""
        if self._connection is not None:
            self._connection.close()
        process = self._process
        if process is not None:
            process.kill()
            if process.stdin is not None:
                process.stdin.close()
            process.wait()
        self._process = self._connection = None

    def _crash_message(self, code: int) -> str:
        what = f"The child process for {self.name}"
        if code >= 0:
            log = settings().home / "logs" / f"{self.name}.log"
            return f"{what} exited with code {code} without an answer: see {log}."
        why = ", probably out of memory" if code == -signal.SIGKILL else ""
        return f"{what} was killed by {signal.Signals(-code).name}{why}: try again."


class _LimitMonitor:
    """Kills a process that exceeds its time or memory limit; `stop_reason`: the sentence for it."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float, memory: int) -> None:
        self.stop_reason: str | None = None
        self._process, self._seconds, self._memory = process, seconds, memory
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="limits", daemon=True)

    def __enter__(self) -> _LimitMonitor:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        deadline = time.monotonic() + self._seconds
        with suppress(psutil.NoSuchProcess):
            child = psutil.Process(self._process.pid)
            while not self._done.wait(POLL_INTERVAL_S):
                if time.monotonic() > deadline:
                    self._stop(
                        f"No answer within {self._seconds:g} s, so the work was stopped: try "
                        f"again, or choose a smaller model or file."
                    )
                    return
                used = child.memory_info().rss
                if used > self._memory:
                    self._stop(
                        f"The work used {used / 1e9:.1f} GB of memory, over the limit of "
                        f"{self._memory / 1e9:.1f} GB, and was stopped: choose fewer or smaller "
                        f"models."
                    )
                    return

    def _stop(self, why: str) -> None:
        self.stop_reason = why
        self._process.kill()
