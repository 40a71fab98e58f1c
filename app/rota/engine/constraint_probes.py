"""Probes of constraints that take time: they run on a loop of their own, so that no other check waits for them."""

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

import structlog

from rota.clock import Clock
from rota.domain.constraints.evaluation import Answer, Answers, HasRoom, Question
from rota.egress.client import HttpClient
from rota.egress.guard import Guard, RefusedError, UnreachableError
from rota.egress.phases import Phases
from rota.egress.requests import Request, SendFailed
from rota.engine.timing.loop_thread import LoopThread

log = structlog.get_logger(__name__)

#: Of a probe, in seconds.
TIMEOUT = 2.0
_MOST_AT_ONCE = 256
# For disks: a network disk may hang.
_THREADS = 32
_WORKS_BELOW = 500


@dataclass(frozen=True, slots=True)
class _Cached:
    """An answer, and when it was found (monotonic)."""

    answer: Answer
    at: float


class Prober:
    """Answers questions from a cache, and starts a probe when the cached answer is too old.

    An answer is fresh for `max_age` seconds; `answered` is called, in a thread of the prober, when there is a new one.
    """

    def __init__(
        self, clock: Clock, max_age: float, answered: Callable[[], None], guard: Guard
    ) -> None:
        self._clock = clock
        self._max_age = max_age
        self._answered = answered
        self._guard = guard
        self._client = HttpClient(0, clock, guard)
        self._lock = threading.Lock()
        self._cache: dict[Question, _Cached] = {}
        self._requested: set[Question] = set()
        self._in_progress: set[Question] = set()
        self._loop: LoopThread | None = None

    def ask(self, question: Question) -> Answer | None:
        """Return the cached answer, or None; never blocks. Starts a probe if the answer is not fresh."""
        with self._lock:
            self._requested.add(question)
            cached = self._cache.get(question)
            fresh = cached is not None and self._clock.monotonic() - cached.at < self._max_age
            if not fresh and question not in self._in_progress:
                self._in_progress.add(question)
                asyncio.run_coroutine_threadsafe(self._probe(question), self._started())
        return None if cached is None else replace(cached.answer, fresh=fresh)

    def forget(self) -> None:
        """Forget the answers that were not requested since the last call."""
        with self._lock:
            self._cache = {
                each: self._cache[each] for each in self._cache if each in self._requested
            }
            self._requested = set()

    def stop(self) -> None:
        """Stop without waiting for probes. No question may be asked afterwards."""
        if self._loop is not None:
            self._loop.stop()

    def _started(self) -> asyncio.AbstractEventLoop:
        """Return the loop; it is created with the first question, since most services ask none."""
        if self._loop is None:
            self._loop = LoopThread("rota-probing", _THREADS)
            self._slots = asyncio.Semaphore(_MOST_AT_ONCE)
            self._loop.start()
        return self._loop.loop

    async def _probe(self, question: Question) -> None:
        try:
            async with self._slots:
                await self._find_answer(question)
        except Exception:
            log.exception("probe.failed", question=repr(question))
            self._store(question, Answer("it cannot be checked; the log of the service says why"))
        finally:
            with self._lock:
                self._in_progress.discard(question)

    async def _find_answer(self, question: Question) -> None:
        match question:
            case HasRoom():
                await self._measure(question)
            case Answers():
                await self._reach(question)
            case _:
                assert_never(question)

    async def _measure(self, question: HasRoom) -> None:
        """Store an answer within TIMEOUT; keep waiting for a thread that hangs.

        While it hangs the question is not probed again: otherwise all threads would soon be blocked.
        """
        step = asyncio.get_running_loop().run_in_executor(None, _free_bytes, question)
        done, _ = await asyncio.wait([step], timeout=TIMEOUT)
        if not done:
            self._store(question, Answer(_late()))
            with contextlib.suppress(OSError):
                await step
            return
        try:
            self._store(question, Answer(None, step.result()))
        except OSError as error:
            self._store(question, Answer(_words(error)))

    async def _reach(self, question: Answers) -> None:
        """Store whether a host or URL answers within TIMEOUT."""
        try:
            async with asyncio.timeout(TIMEOUT):
                fault = await self._fault(question)
        except TimeoutError:
            fault = _late()
        except (UnreachableError, RefusedError, SendFailed) as error:
            fault = str(error)[:200]
        self._store(question, Answer(fault))

    async def _fault(self, question: Answers) -> str | None:
        """Return what is wrong with a host or URL, None if it answers; raises what its connection raises."""
        if question.url is not None:
            reply = await self._client.send(Request("GET", question.url, {}, None))
            return None if reply.status < _WORKS_BELOW else f"it answered {reply.status}"
        assert question.host is not None
        assert question.port is not None
        (await self._guard.connect(question.host, question.port, Phases())).close()
        return None

    def _store(self, question: Question, answer: Answer) -> None:
        with self._lock:
            self._cache[question] = _Cached(answer, self._clock.monotonic())
        self._answered()


def _free_bytes(question: HasRoom) -> int:
    return shutil.disk_usage(question.path).free


def _late() -> str:
    return f"no answer within {TIMEOUT:g} s"


def _words(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).lower()[:200]
