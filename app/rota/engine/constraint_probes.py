"""Probing: what takes time to find out is found out on a loop of its own, so that nobody waits for it."""

import asyncio
import contextlib
import ipaddress
import shutil
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import structlog

from rota.clock import Clock
from rota.domain.constraints.evaluation import Answer, Answers, HasRoom, Question
from rota.handlers.daemon_threads import DaemonThreads
from rota.handlers.http.client import HttpClient, Request, SendFailed

log = structlog.get_logger(__name__)

TIMEOUT = 2.0
_MOST_AT_ONCE = 256
# For what can only be asked by waiting in a thread: names of hosts, and disks (one over a network may hang).
_THREADS = 32
_WORKS_BELOW = 500


@dataclass(frozen=True, slots=True)
class _Found:
    """An answer, and when it was found (monotonic)."""

    answer: Answer
    at: float


class Prober:
    """Answers questions with what it found out before, and goes and looks when that is too old.

    An answer counts for `max_age` seconds; `ring` is called, in a thread of the prober, when there is a new one.
    """

    def __init__(self, clock: Clock, max_age: float, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._max_age = max_age
        self._ring = ring
        self._client = HttpClient(0, clock)
        self._lock = threading.Lock()
        self._found: dict[Question, _Found] = {}
        self._asked: set[Question] = set()
        self._under_way: set[Question] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="rota-probing", daemon=True)

    def ask(self, question: Question) -> Answer | None:
        """Return what is known, or None; never waits. A new look is taken if it is not fresh."""
        with self._lock:
            self._asked.add(question)
            found = self._found.get(question)
            fresh = found is not None and self._clock.monotonic() - found.at < self._max_age
            if not fresh and question not in self._under_way:
                self._under_way.add(question)
                asyncio.run_coroutine_threadsafe(self._look(question), self._started())
        return None if found is None else replace(found.answer, fresh=fresh)

    def forget(self) -> None:
        """Forget the answers that nobody has asked for since the last call."""
        with self._lock:
            self._found = {each: self._found[each] for each in self._found if each in self._asked}
            self._asked = set()

    def stop(self) -> None:
        """End without waiting for answers. Nothing may be asked afterwards."""
        if self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        """Return the loop; it is made when the first question comes, since most services ask none."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_default_executor(DaemonThreads("rota-probing", _THREADS))
            self._room = asyncio.Semaphore(_MOST_AT_ONCE)
            self._thread.start()
        return self._loop

    def _run(self) -> None:
        assert self._loop is not None  # made before the thread starts
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.wait(left) if left else asyncio.sleep(0))
        self._loop.close()  # which does not wait for threads that hang

    async def _look(self, question: Question) -> None:
        try:
            async with self._room:
                await self._find_out(question)
        except Exception:
            log.exception("probe.failed", question=repr(question))
            self._keep(question, Answer("it cannot be looked at; the log of the service says why"))
        finally:
            with self._lock:
                self._under_way.discard(question)

    async def _find_out(self, question: Question) -> None:
        """Keep an answer within TIMEOUT for each of the two steps; go on waiting for a thread that hangs.

        As long as it hangs the question is not asked again, or soon there would be no thread left.
        """
        step = asyncio.get_running_loop().run_in_executor(None, _blocking_step, question)
        done, _ = await asyncio.wait([step], timeout=TIMEOUT)
        if not done:
            self._keep(question, Answer(_late()))
            with contextlib.suppress(OSError):
                await step
            return
        try:
            free = step.result()
            async with asyncio.timeout(TIMEOUT):
                fault = await self._fault(question)
        except TimeoutError:
            self._keep(question, Answer(_late()))
        except (OSError, SendFailed, UnicodeError, ValueError) as error:
            self._keep(question, Answer(_words(error)))
        else:
            self._keep(question, Answer(fault, free))

    async def _fault(self, question: Question) -> str | None:
        match question:
            case Answers(url=str(url)):
                reply = await self._client.send(Request("GET", url, {}, None))
                return None if reply.status < _WORKS_BELOW else f"it answered {reply.status}"
            case Answers():
                _, writer = await asyncio.open_connection(question.host, question.port)
                writer.transport.abort()
        return None

    def _keep(self, question: Question, answer: Answer) -> None:
        with self._lock:
            self._found[question] = _Found(answer, self._clock.monotonic())
        self._ring()


def _blocking_step(question: Question) -> int:
    """Do what only a thread can do: measure a disk (return its free bytes), or look up a name."""
    if isinstance(question, HasRoom):
        return shutil.disk_usage(question.path).free
    host = question.host if question.url is None else urlsplit(question.url).hostname
    if host is not None and not _is_address(host):
        socket.getaddrinfo(host, question.port, type=socket.SOCK_STREAM)
    return 0


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _late() -> str:
    return f"no answer within {TIMEOUT:g} s"


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()[:200]
    return str(error)[:200]
