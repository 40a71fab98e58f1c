"""The threads for what may block: as many as the work needs, also where the system refuses to start more."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from rota import daemon_threads
from rota.daemon_threads import DaemonThreads
from tests.handlers.bench import wait_until


class Slow(DaemonThreads):
    """Threads that were started, and wait for the interpreter until `let` is set."""

    let = threading.Event()

    def _serve(self, number: int) -> None:
        self.let.wait()
        super()._serve(number)


class Limit:
    """What the system makes of threads whose names begin with `test-`: `room` of them can be started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 1_000
        self.refusals = 0
        start = threading.Thread.start

        def limited(thread: threading.Thread) -> None:
            if thread.name.startswith("test-"):
                if self.room <= 0:
                    self.refusals += 1
                    raise RuntimeError("can't start new thread")
                self.room -= 1
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    monkeypatch.setattr(daemon_threads, "_AFTER_A_REFUSAL", 0.01)
    return Limit(monkeypatch)


@pytest.fixture
def pool() -> Iterator[DaemonThreads]:
    made = DaemonThreads("test", 1_000)
    yield made
    made.shutdown()


class Blocking:
    """Pieces of work that wait for `release`."""

    def __init__(self, pool: DaemonThreads, number: int) -> None:
        self.release = threading.Event()
        self._begun: list[None] = []
        for _ in range(number):
            pool.run(self._work)

    @property
    def under_way(self) -> int:
        return len(self._begun)

    def _work(self) -> None:
        self._begun.append(None)
        self.release.wait(30)


def named(prefix: str) -> int:
    return sum(thread.name.startswith(prefix) for thread in threading.enumerate())


def test_a_burst_starts_no_more_threads_than_it_has_pieces_of_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = count()
    rounds: list[int] = []

    class Counted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout == daemon_threads._STALL_SECONDS:
                rounds.append(next(looks))
            return super().wait(timeout)

    monkeypatch.setattr(daemon_threads, "Event", Counted)
    Slow.let.clear()
    pool = Slow("burst", 1_000)
    done = threading.Semaphore(0)
    for _ in range(30):
        pool.run(done.release)

    # Each of these rounds finds queued work, and that none was taken.
    wait_until(lambda: len(rounds) > 20, "no round checks the queue")
    started = named("burst-")
    Slow.let.set()
    for _ in range(30):
        assert done.acquire(timeout=20)
    pool.shutdown()

    assert 30 <= started <= 30 + daemon_threads._EAGER + 1  # the one is that which lets them grow


def test_blocking_work_gets_one_thread_each(pool: DaemonThreads) -> None:
    work = Blocking(pool, 40)

    wait_until(lambda: work.under_way == 40, "some work waits for no reason")
    work.release.set()


def test_threads_are_added_again_after_the_system_has_refused_some(
    pool: DaemonThreads, limit: Limit
) -> None:
    limit.room = daemon_threads._EAGER + 1
    work = Blocking(pool, 16)

    wait_until(lambda: limit.refusals > 3, "no thread was requested")
    assert work.under_way == daemon_threads._EAGER
    limit.room = 1_000
    wait_until(lambda: work.under_way == 16, "the threads do not grow any more")
    work.release.set()


def test_work_continues_with_the_existing_threads(pool: DaemonThreads, limit: Limit) -> None:
    pool.start()
    limit.room = 0

    futures = [pool.submit(str, number) for number in range(100)]

    assert [future.result(20) for future in futures] == [str(number) for number in range(100)]


def test_without_any_thread_work_is_refused_and_not_executed_later(
    pool: DaemonThreads, limit: Limit
) -> None:
    done: list[str] = []
    for room in (0, 1):  # not even the one that lets them grow, or that alone
        limit.room = room
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.run(lambda: done.append("refused"))

    limit.room = 1_000
    pool.submit(done.append, "taken").result(20)

    assert done == ["taken"]
