"""Connections that the service opens: each one has to be made by the guard."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rota.egress import guard

_GUARD = guard.__file__
_SERVICE = str(Path(_GUARD).parents[1])
# What connects to a service is no part of it.
_OUTSIDE = (str(Path(_SERVICE) / "client"), str(Path(_SERVICE) / "receiver"))
_INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})


@dataclass
class Connects:
    """The addresses that were connected to, by the guard and past it."""

    guarded: list[Any] = field(default_factory=list)
    unguarded: list[Any] = field(default_factory=list)


@contextmanager
def counted() -> Iterator[Connects]:
    """Note each connection to an address of the internet that code of the service opens from Python."""
    connects = Connects()
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def noted(made: socket.socket, address: Any) -> None:
        _note(connects, made, address)
        connect(made, address)

    def noted_ex(made: socket.socket, address: Any) -> int:
        _note(connects, made, address)
        return connect_ex(made, address)

    socket.socket.connect, socket.socket.connect_ex = noted, noted_ex  # type: ignore[assignment, method-assign]
    try:
        yield connects
    finally:
        socket.socket.connect, socket.socket.connect_ex = connect, connect_ex  # type: ignore[method-assign]


def _note(connects: Connects, made: socket.socket, address: Any) -> None:
    if made.family not in _INTERNET:
        return
    frame: Any = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file == _GUARD:
            connects.guarded.append(address)
            return
        if file.startswith(_OUTSIDE):
            return  # whatever called it, such as a command
        if file.startswith(_SERVICE):
            connects.unguarded.append(address)
            return
        frame = frame.f_back
