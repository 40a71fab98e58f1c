"""What a firing pass costs and how much memory it takes, with few tasks registered and with very many."""

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.client import wait_until
from benchmarks.figures import Line, median
from benchmarks.filling import EVERY, HANDLER, Group, fill, make_due
from benchmarks.processes import resident_megabytes
from benchmarks.rota import serving, sqlite_url
from benchmarks.workspace import subfolder
from rota.clock import FakeClock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.primitives.ids import random_id
from rota.engine.firing import Firing
from rota.metrics import Metrics
from rota.store.follow_ups import follow_up
from rota.store.replicas import Enlist

_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    few: int = 1_000
    many: int = 1_000_000
    due: int = 1_000
    passes: int = 9


QUICK = Size(few=200, many=20_000, due=200, passes=3)


def benchmark(folder: Path, size: Size) -> list[Line]:
    """Return the cost per fire and the memory, beside each other."""
    folders = [subfolder(folder, name) for name in ("few", "many")]
    urls = [sqlite_url(each) for each in folders]
    for url, count in zip(urls, (size.few, size.many), strict=True):
        fill(url, count, size.due, overlap_policy="allow")  # the runs are never finished
    together = _costs(urls, (Group.TOGETHER, Group.TOGETHER), size)
    spread = _costs(urls, (Group.TOGETHER, Group.SPREAD), size)
    memory = [_memory(each, size) for each in folders]
    what = f"of {size.many:,} tasks {size.due:,} due, the same of {size.few:,}"
    return [
        _cost_line(f"Cost per fire: {what}", together, limit=1.3),
        _cost_line(f"Cost per fire, the due ones spread over the table: {what}", spread),
        Line(
            what=f"Resident memory: {what}",
            rota=f"{memory[1]:.0f} MB",
            peer=f"{memory[0]:.0f} MB",
            ratio=memory[1] - memory[0],
            unit="MB more",
            aim="at most",
            limit=30,
        ),
    ]


def _cost_line(what: str, costs: tuple[float, float], limit: float | None = None) -> Line:
    few, many = costs
    return Line(
        what=what,
        rota=f"{many:.0f} µs",
        peer=f"{few:.0f} µs",
        ratio=many / few,
        aim="at most",
        limit=limit,
    )


class _Passes:
    """Firing passes in this process, on a clock that is moved from one set of fire times to the next."""

    def __init__(self, url: str, due: int) -> None:
        self._clock = FakeClock(datetime.now(UTC) + timedelta(seconds=1))
        self._metrics = Metrics()
        self._database = Database(url)
        self._writer = Writer(
            self._database.writing,
            self._clock,
            lambda _: None,
            self._metrics,
            follow_up=follow_up,
        )
        self._writer.start()
        # Runs of a handler that no replica knows would be made blocked.
        self._writer.call(
            Enlist(id=random_id(), host="", pid=0, handlers=(HANDLER,), ttl=timedelta(days=10_000))
        )
        self._firing = Firing(self._database, self._writer, self._clock, self._metrics)
        self._due = due

    def close(self) -> None:
        self._writer.stop()
        self._database.close()

    def take(self) -> float:
        """Make a pass; return its time in microseconds per fire."""
        before = self._fired()
        started_at = time.perf_counter()
        self._firing.make_pass()
        taken = time.perf_counter() - started_at
        fired = self._fired() - before
        assert fired == self._due, f"{fired} fires, not {self._due}"
        self._clock.advance(EVERY)
        return taken / fired * 1e6

    def _fired(self) -> float:
        return float(self._metrics.fired._value.get())  # noqa: SLF001  # it has no other reader


def _costs(urls: Sequence[str], groups: Sequence[Group], size: Size) -> tuple[float, float]:
    """Return microseconds per fire; passes are taken in turn, so that a slow moment hits both."""
    for url, group in zip(urls, groups, strict=True):
        assert make_due(url, group, datetime.now(UTC)) == size.due
    both = [_Passes(url, size.due) for url in urls]
    try:
        for passes in both:
            passes.take()  # opens connections, compiles statements
        with _collecting_as_the_service_does():
            taken = [[passes.take() for passes in both] for _ in range(size.passes)]
    finally:
        for passes in both:
            passes.close()
    few, many = zip(*taken, strict=True)
    return median(few), median(many)


@contextmanager
def _collecting_as_the_service_does() -> Iterator[None]:
    """Set the garbage collector as `rota serve` does: a full collection would hit every other pass of one of them."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _memory(folder: Path, size: Size) -> float:
    """Return the resident memory of the service once it has fired and run what is due."""
    url = sqlite_url(folder)
    make_due(url, Group.TOGETHER, datetime.now(UTC))
    query = "SELECT count(*) AS number FROM run WHERE status = 'succeeded'"
    with serving(url, folder) as rota:
        wait_until(
            lambda: int(rota.read(query)[0].number) >= size.due, "the runs end", _TIMEOUT, pause=0.5
        )
        return resident_megabytes(rota.pid)
