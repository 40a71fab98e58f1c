"""Descriptions: what a constraint asks for, in plain English."""

from typing import assert_never
from urllib.parse import urlsplit

from rota.domain.constraints.definitions import (
    DAYS,
    Constraint,
    MaxLoad,
    MinFreeDisk,
    Reachable,
    Window,
)
from rota.domain.constraints.kv import Kv
from rota.domain.primitives.json.json_text import canonical

_KINDS = ("B", "KiB", "MiB", "GiB", "TiB")


def describe(constraint: Constraint) -> str:
    """Return in plain English what a constraint asks for."""
    match constraint:
        case Reachable():
            return f"{_address(constraint)} answers"
        case MinFreeDisk():
            return f"at least {size(constraint.bytes)} are free on the disk of {constraint.path!r}"
        case MaxLoad():
            return f"the load per processor is at most {constraint.load}"
        case Window():
            days = "" if constraint.days == DAYS else f" on {', '.join(constraint.days)}"
            return f"it is {constraint.opens} to {constraint.closes}{days} in {constraint.timezone}"
        case Kv():
            return f"{_entry(constraint)} {_predicate(constraint)}"
        case _:
            assert_never(constraint)


def _entry(kv: Kv) -> str:
    return f"entry {kv.key!r}" + ("" if kv.task is None else f" of task {kv.task!r}")


def _predicate(kv: Kv) -> str:
    name, wanted = kv.predicate
    if name == "exists":
        return "is there" if wanted else "is not there"
    return f"{name.replace('_', ' ')} {canonical(wanted)}"[:200]


def subject(constraint: MinFreeDisk | Reachable) -> str:
    return repr(constraint.path) if isinstance(constraint, MinFreeDisk) else _address(constraint)


def _address(reachable: Reachable) -> str:
    # Of a URL only what may be shown: its path and query may hold a secret.
    if reachable.url is not None:
        parts = urlsplit(reachable.url)
        return f"{parts.scheme}://{parts.netloc}"
    host = f"[{reachable.host}]" if ":" in (reachable.host or "") else reachable.host
    return f"{host}:{reachable.port}"


def size(number: int) -> str:
    power = min(max(number.bit_length() - 1, 0) // 10, len(_KINDS) - 1)
    return f"{number / 1024**power:.4g} {_KINDS[power]}"
