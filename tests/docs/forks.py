"""`rota` without the seconds that its imports and its routes take: a process that has them forks one for each command.

Run as a program with the path of a socket. Only what shares the routes is imported of the tests, and under no name:
what is forked is `rota` alone.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import walk_packages
from runpy import run_path
from typing import NoReturn

#: How many seconds a command has to end once it was interrupted.
_PATIENCE = 5.0

#: What stands on the PATH as `rota`. It sends its arguments, environment and files, and waits for the exit code.
#: Asked to end it lets the command end, and ends after it: what is started then finds its files and its port free.
PROGRAM = """#!{python} -IS
import array, json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: server.shutdown(socket.SHUT_WR))
    asked = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
    files = array.array("i", [0, 1, 2])
    server.sendmsg([len(asked).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
    server.sendall(asked)
    answer = server.recv(1)
sys.exit(answer[0] if answer else 70)
"""


def serve(path: str) -> None:
    """Fork a `rota` for each connection, until this process is ended, or the one that has started it.

    That keeps the standard input open. When it is closed, all processes of this session are killed.
    """
    [program] = entry_points(group="console_scripts", name="rota")
    main = program.load()
    _make_routes()
    for module in walk_packages(import_module("rota.cli").__path__, "rota.cli."):
        import_module(module.name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that watch
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            readable, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in readable:
                os.killpg(0, signal.SIGKILL)
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _watch(connection, main)
            connection.close()


def _make_routes() -> None:
    rota, service = import_module("rota.main"), import_module("rota.cli.local.serving.service")
    shared = run_path(str(Path(__file__).parents[1] / "support" / "routes.py"))
    share = shared["with_shared_routes"]
    shared["look_through"](share(rota.create_app()))
    vars(service)["create_app"] = lambda settings: share(rota.create_app(settings))


def _watch(connection: socket.socket, main: Callable[[], None]) -> NoReturn:
    """Fork the command and send its exit code; interrupt it if who waits for it has gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, files, _, _ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb", buffering=0) as stream:
        asked = b""
        while len(asked) < int.from_bytes(head, "big"):
            asked += stream.read(1 << 16)
    child = os.fork()
    if child == 0:
        connection.close()
        _run(asked, files, main)
    for each in files:
        os.close(each)
    ended = os.pidfd_open(child)
    readable, _, _ = select.select([connection.fileno(), ended], [], [])
    if ended not in readable:
        os.kill(child, signal.SIGINT)
        if not select.select([ended], [], [], _PATIENCE)[0]:
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        connection.sendall(bytes([os.waitstatus_to_exitcode(status) % 256]))
    os._exit(0)


def _run(asked: bytes, files: Sequence[int], main: Callable[[], None]) -> NoReturn:
    arguments, environment, folder = json.loads(asked)
    for number, each in enumerate(files):
        os.dup2(each, number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["rota", *arguments]
    # The shell ignores the interrupts of what it starts in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # SystemExit has the exit code, and goes on to the end of this process.
    main()
    sys.exit()


if __name__ == "__main__":
    serve(sys.argv[1])
