"""A child process that stays warm between requests: what needs a runtime or torch is done there.

One thread of this process owns the child. It takes requests from a queue in their order, so that
threads (the sessions of a Streamlit server) never share an answer, and it lives as long as this
process does: on Linux a child is killed with the thread that started it (see `lifeline`).

Memory is bounded by watching the child's resident set every `TICK_S`. RLIMIT_AS and RLIMIT_DATA
count what is reserved, which for the libraries in question is gigabytes that are never touched.
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

TICK_S = 0.05
PATIENCE_S = 300.0
"""A request waits so long for those before it."""
LAST_BREATH_S = 2.0
MOST_MEMORY = 8 * 2**30
_KINDS = {kind.__name__: kind for kind in WorkbenchError.__subclasses__()}


def memory_limit() -> int:
    """Bytes that a warm child may use on this machine: half of its memory, 8 GiB at most."""
    return min(MOST_MEMORY, psutil.virtual_memory().total // 2)


@dataclass(frozen=True, slots=True)
class _Request:
    message: Message
    seconds: float
    answer: Future[Message] = field(default_factory=Future)


class WarmChild:
    """Started by the first request, ended when idle, started again after it died."""

    def __init__(
        self, table: str, name: str, idle_s: float = 300.0, memory_bytes: int | None = None
    ) -> None:
        """`table` is `module:mapping` of functions (see `warm_worker`), `name` what it is for."""
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
        """The child's, None while there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def ask(self, task: str, seconds: float, facts: dict[str, object], *blocks: bytes) -> Message:
        """The child's answer. `seconds` limit the work, the start of the child included.

        Raises the WorkbenchError that the work raised, and ChildFailed: the time or the memory
        was used up, the child died, or too many requests were before this one.
        """
        request = _Request(Message({**facts, "task": task}, blocks), seconds)
        with self._lock:
            if self._owner is None:
                self._owner = threading.Thread(target=self._own, name=self.name, daemon=True)
                self._owner.start()
        self._queue.put(request)
        try:
            return request.answer.result(PATIENCE_S)
        except TimeoutError:
            if request.answer.cancel():
                raise ChildFailed(
                    f"Requests before this one have taken over {PATIENCE_S:.0f} s: try again later."
                ) from None
            return request.answer.result()  # begun, and ended by its own limit
        finally:
            request.answer.cancel()  # whoever was interrupted leaves no work behind

    def _own(self) -> None:
        while True:
            try:
                request = self._queue.get(timeout=self.idle_s if self._process else None)
            except queue.Empty:
                self._end()
                continue
            if request.answer.set_running_or_notify_cancel():
                try:
                    request.answer.set_result(self._answer(request))
                except BaseException as error:
                    request.answer.set_exception(error)
            del request  # with the bytes of an image

    def _answer(self, request: _Request) -> Message:
        try:
            answer = self._exchange(request)
        except BaseException as error:
            self._end()  # the connection may be in the middle of a message
            if isinstance(error, OSError):
                raise ChildFailed(error_message(error) or str(error)) from error
            raise
        if "error" in answer.facts:
            raise _KINDS.get(answer.facts["error"], ChildFailed)(answer.facts["sentence"])
        return answer

    def _exchange(self, request: _Request) -> Message:
        """Raises ChildFailed without an answer, OSError where the system starts no child."""
        process, connection = self._running()
        answer = None
        with _Watch(process, request.seconds, self.memory_bytes) as watch:
            with suppress(OSError, EOFError, ValueError):
                send(connection, request.message)
                answer = receive(connection)
            if answer is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(LAST_BREATH_S)  # its own end says more than ours
        if answer is None or watch.stopped_for:
            self._end()
            raise ChildFailed(watch.stopped_for or self._how_it_died(process.returncode))
        return answer

    def _running(self) -> tuple[subprocess.Popen[bytes], Connection]:
        """The child and the connection to it; another one when it died or settings changed."""
        environment = child_environment()
        process, connection = self._process, self._connection
        if process is not None and connection is not None:
            if process.poll() is None and environment == self._environment:
                return process, connection
            self._end()
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

    def _end(self) -> None:
        """Kills the child, if there is one."""
        if self._connection is not None:
            self._connection.close()
        process = self._process
        if process is not None:
            process.kill()
            if process.stdin is not None:
                process.stdin.close()
            process.wait()
        self._process = self._connection = None

    def _how_it_died(self, code: int) -> str:
        what = f"The child process for {self.name}"
        if code >= 0:
            log = settings().home / "logs" / f"{self.name}.log"
            return f"{what} ended ({code}) without an answer; see {log}."
        why = ", most likely because memory ran out" if code == -signal.SIGKILL else ""
        return f"{what} was ended by {signal.Signals(-code).name}{why}: try again."


class _Watch:
    """Kills a process that takes too long or too much memory; `stopped_for` is the sentence."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float, memory: int) -> None:
        self.stopped_for: str | None = None
        self._process, self._seconds, self._memory = process, seconds, memory
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> _Watch:
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
            while not self._done.wait(TICK_S):
                if time.monotonic() > deadline:
                    self._stop(
                        f"No answer within {self._seconds:g} s, so this was stopped: try again, or "
                        f"choose a smaller model or file."
                    )
                    return
                used = child.memory_info().rss
                if used > self._memory:
                    self._stop(
                        f"This used {used / 1e9:.1f} GB of memory, over the limit of "
                        f"{self._memory / 1e9:.1f} GB, and was stopped: choose fewer or smaller "
                        f"models."
                    )
                    return

    def _stop(self, why: str) -> None:
        self.stopped_for = why
        self._process.kill()
