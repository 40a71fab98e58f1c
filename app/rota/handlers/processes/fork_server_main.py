"""The fork server: a process that imports the handlers once, then forks a child for each isolated attempt.

Its one thread only forks, kills and reaps, so that a fork copies no locks in unknown states. It leaves no process
behind: it kills a child's process group when the child ends, processes that left their group when no child runs any
more, and all of them when the service has ended.
"""

import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Never

from rota.handlers.loading import load
from rota.handlers.processes.child import serve
from rota.handlers.registry import Registry

#: A request: "F" (fork, with three descriptors) or "K" (kill), and the child's number.
REQUEST = struct.Struct("!cI")
#: A report: "S" (started), "E" (not started, with an errno), "K" (killed) or "X" (ended, with its wait status), and the
#: child's number; before all others "R" (ready: the handlers are imported).
REPORT = struct.Struct("!cIi")

_DESCRIPTORS = 3
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# The connection reports the end of the service at once, unless another process has a copy of its other end.
_PARENT_CHECK_SECONDS = 2.0


def main() -> Never:
    """Serve the connection in the first argument, with the handlers that the second lists."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    registry = Registry(load(json.loads(sys.argv[2])))
    # Children share the memory of all objects that exist now, as long as the garbage collector does not touch them.
    gc.collect()
    gc.freeze()
    _Server(connection, registry).serve()


class _Server:
    def __init__(self, connection: socket.socket, registry: Registry) -> None:
        self._connection = connection
        self._registry = registry
        self._pid = os.getpid()
        self._service = os.getppid()
        self._prctl = _find_prctl()
        self._numbers: dict[int, int] = {}  # by process id
        self._helpers = _children()  # started by the modules of the handlers
        self._woken, self._wakes = socket.socketpair()

    def serve(self) -> Never:
        # This process, not process 1, reaps the orphans of its children.
        self._prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._woken.setblocking(False)
        self._wakes.setblocking(False)
        self._report(b"R", 0, 0)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.SelectSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while os.getppid() == self._service:
                for key, _ in selector.select(_PARENT_CHECK_SECONDS):
                    self._take_request() if key.fileobj is self._connection else self._reap()
        self._end()

    def _take_request(self) -> None:
        try:
            data, descriptors, *_ = socket.recv_fds(self._connection, REQUEST.size, _DESCRIPTORS)
        except ConnectionError:
            data, descriptors = b"", []
        if len(data) < REQUEST.size:
            self._end()
        what, number = REQUEST.unpack(data)
        if what == b"F":
            self._fork(number, descriptors)
        else:
            self._kill(number)

    def _fork(self, number: int, descriptors: Sequence[int]) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._report(b"E", number, error.errno or 0)
        else:
            if pid == 0:
                self._become_child(descriptors)
            self._numbers[pid] = number
            self._report(b"S", number, 0)
        for descriptor in descriptors:
            os.close(descriptor)

    def _become_child(self, descriptors: Sequence[int]) -> Never:
        try:
            os.setsid()
            # The fork server ends with the service, and its children end with the fork server.
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != self._pid:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._connection.close()
            self._woken.close()
            self._wakes.close()
            theirs, *printed = descriptors
            for target, descriptor in zip((1, 2), printed, strict=True):
                os.dup2(descriptor, target)
                os.close(descriptor)
            serve(socket.socket(fileno=theirs), self._registry)
        except BaseException:  # noqa: BLE001  # it must not continue as a second fork server
            traceback.print_exc()
        finally:
            os._exit(70)

    def _kill(self, number: int) -> None:
        for pid, known in self._numbers.items():
            if known == number:
                os.kill(pid, signal.SIGKILL)  # it may not have made its group yet
                _kill_group(pid)
        self._report(b"K", number, 0)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(4096)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                number = self._numbers.pop(pid, None)
                if number is not None:
                    _kill_group(pid)
                    self._report(b"X", number, status)
                if not self._numbers:
                    self._kill_strays()

    def _kill_strays(self) -> None:
        """Kill processes that left their group: as orphans they have become children of this process."""
        for pid in _children() - self._helpers:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _report(self, what: bytes, number: int, detail: int) -> None:
        try:
            self._connection.sendall(REPORT.pack(what, number, detail))
        except ConnectionError:
            self._end()

    def _end(self) -> Never:
        for pid in self._numbers:
            os.kill(pid, signal.SIGKILL)
            _kill_group(pid)
        self._kill_strays()
        os._exit(0)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _children() -> set[int]:
    try:
        return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))
    except OSError:  # not everywhere
        return set()


def _find_prctl() -> "ctypes._FuncPointer | _NoPrctl":
    return ctypes.CDLL(None).prctl if sys.platform == "linux" else _NoPrctl()


class _NoPrctl:
    """Only Linux has prctl; elsewhere the fork server relies on its own kills."""

    def __call__(self, *_: int) -> int:
        return 0
