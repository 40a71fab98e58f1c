"""The resolver: names whose servers are silent delay no others."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rota.egress import resolver


class Silence:
    """A resolver of the system that does not answer for names that begin with `silent`, for as long as this lasts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, deadline: float) -> None:
        self.asked: list[str] = []
        self.over = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)
        monkeypatch.setattr(resolver, "DEADLINE", deadline)

    def _look_up(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        if host.startswith("silent"):
            self.over.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[Silence]:
    made = Silence(monkeypatch, 0.5)
    yield made
    made.over.set()


async def _silent(of: resolver.Resolver, names: int, prefix: str = "silent") -> None:
    lookups = (of.resolve(f"{prefix}{number}.example", 1) for number in range(names))
    ends = await asyncio.gather(*lookups, return_exceptions=True)
    assert all(isinstance(each, resolver.LookupFailedError) for each in ends)


def test_a_hundred_silent_names_delay_no_other(silence: Silence) -> None:
    async def both(of: resolver.Resolver) -> None:
        silent = asyncio.ensure_future(_silent(of, 100))
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(of._in_progress) == 100
        assert await of.resolve("app.example", 1)
        assert not silent.done()
        await silent

    _resolve(both)
    assert "app.example" in silence.asked


def test_names_that_stay_silent_take_no_thread_from_others(
    silence: Silence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "_THREADS", 8)
    monkeypatch.setattr(resolver, "_THREADS_OF_SLOW", 2)

    async def rounds(of: resolver.Resolver) -> None:
        await _silent(of, 8)
        silence.over.set()
        await asyncio.gather(*(of.resolve(f"silent{number}.example", 1) for number in range(8)))
        silence.over.clear()
        silent = asyncio.ensure_future(_silent(of, 8))
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(of._in_progress) == 8
        for number in range(20):
            assert await of.resolve(f"app{number}.example", 1)
        assert not silent.done()
        await silent

    _resolve(rounds)


def test_a_lookup_that_nobody_waits_for_any_more_never_begins(
    silence: Silence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "_THREADS", 2)

    async def rounds(of: resolver.Resolver) -> None:
        await _silent(of, 2)
        await _silent(of, 20, "app")  # there is no thread for them
        assert len(of._in_progress) == 2
        silence.over.set()
        assert await of.resolve("other.example", 1)

    _resolve(rounds)

    assert sorted(silence.asked) == ["other.example", "silent0.example", "silent1.example"]


def _resolve(work: Callable[[resolver.Resolver], Any]) -> None:
    of = resolver.Resolver()
    try:
        asyncio.run(work(of))
    finally:
        of.close()
