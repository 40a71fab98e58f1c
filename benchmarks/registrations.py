"""Registrations per second with 32 clients: Rota, the textbook, and the textbook without a database."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import answers, wait_until
from benchmarks.clients import CLIENTS, load, middle, shown
from benchmarks.figures import Line
from benchmarks.load import Answered
from benchmarks.processes import check_alive, free_port, running
from benchmarks.rota import migrated, serving, sqlite_url
from benchmarks.workspace import subfolder

_START_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int = 3
    count: int = 2_500
    seconds: float = 1.5
    warm_up: int = 200


QUICK = Size(rounds=1, count=400, seconds=2)


def benchmark(folder: Path, size: Size, postgres: str | None = None) -> list[Line]:
    """Return Rota's registrations beside its peers'; `postgres` is the URL of an empty database."""
    with ExitStack() as servers:
        url = migrated(sqlite_url(folder))
        ports = {"rota": servers.enter_context(serving(url, folder)).port}
        textbook_url = f"sqlite:///{folder / 'textbook.db'}"
        ports["textbook"] = servers.enter_context(_textbook(folder, textbook_url))
        ports["nowhere"] = servers.enter_context(_textbook(folder, None))
        if postgres:
            apart = subfolder(folder, "postgres")
            ports["postgres"] = servers.enter_context(serving(migrated(postgres), apart)).port
        rounds = _rounds(ports, size)
    return _lines({name: middle(each) for name, each in rounds.items()})


@contextmanager
def _textbook(folder: Path, url: str | None) -> Iterator[int]:
    port, log = free_port(), folder / "textbook.log"
    arguments = ["--port", str(port), *(["--url", url] if url else [])]
    with running("benchmarks.peers.textbook", *arguments, log=log) as child:

        def ready() -> bool:
            check_alive(child, log)
            return answers(port, "/openapi.json")

        wait_until(ready, "the textbook server is ready", _START_TIMEOUT)
        yield port


def _rounds(ports: Mapping[str, int], size: Size) -> dict[str, list[Answered]]:
    """Measure each in turn, several times, so that a slow moment of the machine hits all of them."""
    for name, port in ports.items():
        _registered(port, f"{name}-warm", size.seconds, size.warm_up)
    found: dict[str, list[Answered]] = {name: [] for name in ports}
    for number in range(size.rounds):
        for name, port in ports.items():
            found[name].append(_registered(port, f"{name}-{number}", size.seconds, size.count))
    return found


def _registered(port: int, prefix: str, seconds: float, count: int) -> Answered:
    return load(port, "register", seconds, prefix=prefix, count=count)


def _lines(found: Mapping[str, Answered]) -> list[Line]:
    rota, textbook, nowhere = found["rota"], found["textbook"], found["nowhere"]
    lines = [
        _compared("Registrations against a commit per request", rota, textbook, limit=3),
        _compared(
            "Registrations against the endpoint without a database", rota, nowhere, limit=0.6
        ),
    ]
    if "postgres" in found:
        lines.append(
            _compared("Registrations on PostgreSQL, the same on SQLite", found["postgres"], rota)
        )
    return lines


def _compared(what: str, rota: Answered, peer: Answered, limit: float | None = None) -> Line:
    return Line(
        what=f"{what}, {CLIENTS} clients",
        rota=shown(rota),
        peer=shown(peer),
        ratio=rota.per_second / peer.per_second,
        limit=limit,
    )
