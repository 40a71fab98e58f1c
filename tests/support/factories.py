"""Building blocks of tests: definitions, a database with its writer, and a fake clock."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, create_engine, delete, func, select, update

from rota.clock import FakeClock
from rota.db import tables
from rota.db.batching import Request
from rota.db.command import Command, Transaction
from rota.db.encryption import Keyring
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.alerts.defaults import Alerting
from rota.domain.effects import Effect, RunEnded
from rota.domain.kv import operations
from rota.domain.kv.entries import KvChange, KvEntry
from rota.domain.primitives.ids import Id, random_id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.preconditions import Precondition
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import Attempt, ClaimedRun, Run
from rota.domain.runs.outcomes import Failed, Outcome, Succeeded
from rota.domain.runs.planning import plan
from rota.domain.runs.settlement import Settlement
from rota.domain.runs.status import Trigger
from rota.domain.tasks.definition import TaskDefinition
from rota.domain.tasks.task import Task
from rota.store.completion.finish import Finish
from rota.store.events.log import EventLog
from rota.store.follow_ups import follow_up
from rota.store.handlers import Announce, HandlerInfo
from rota.store.kv import entries as kv
from rota.store.kv.transactions import Transact
from rota.store.replicas import LONGEST_TTL, Enlist
from rota.store.runs.claiming.claim import Claim
from rota.store.runs.listing.filters import RunFilter
from rota.store.runs.reading import find_run, list_attempts, list_runs
from rota.store.scheduling.due import due_tasks
from rota.store.scheduling.fire import Fire
from rota.store.task_rows import find_task
from rota.store.tasks.declaration import Registration
from rota.store.tasks.lifecycle import Cancel, Change, Delete, Pause, Resume
from rota.store.tasks.registration import Register
from rota.store.tasks.run_commands import RunNow

R = TypeVar("R")

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
HANDLERS = ("noop", "other")
BROKEN = Failed(RunError("ValueError", "broken"))
DEADLINE = 20.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.002, 0.025


def eventually(
    condition: Callable[[], Any], what: str = "it did not happen", within: float = DEADLINE
) -> Any:
    """Wait until `condition` returns something true, and return that.

    The longer it waits the less often it checks: a check costs time that others need.
    """
    deadline = time.monotonic() + within
    pause = _SHORTEST_PAUSE
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(pause)
        pause = min(1.25 * pause, _LONGEST_PAUSE)
    return found


def define(**fields: Any) -> TaskDefinition:
    """Return a definition: by default every minute, with the handler `noop`."""
    defaults = {"handler": "noop", "schedule": {"type": "interval", "every": 60}}
    return TaskDefinition.model_validate(defaults | fields)


def once(at: datetime) -> dict[str, str]:
    """Return a schedule with one fire time."""
    return {"type": "once", "at": at.isoformat()}


class Hold(Command[None]):
    """Keeps the writer busy until it is released, so that commands that arrive meanwhile are one group."""

    def __init__(self) -> None:
        self.begun = Event()
        self.released = Event()

    def apply(self, tx: Transaction) -> None:
        self.begun.set()
        assert self.released.wait(DEADLINE)


def together(writer: Writer, commands: Sequence[Command[Any]]) -> list[Request[Any]]:
    """Commit commands as one group, and return the answered requests."""
    hold = Hold()
    with ThreadPoolExecutor(2) as threads:
        threads.submit(writer.call, hold)
        assert hold.begun.wait(DEADLINE)
        answers = threads.submit(writer.call_all, commands)
        eventually(lambda: len(writer._queue) == len(commands))
        hold.released.set()
        return answers.result(DEADLINE)


@contextmanager
def foreign_lock(world: "Client", statement: Select[Any]) -> Iterator[Callable[[], None]]:
    """Lock the rows that a query finds, as another transaction (PostgreSQL); yields a function that releases them."""
    engine = create_engine(world.database.url)
    with engine.connect() as connection:
        connection.execute(statement.with_for_update()).all()
        yield connection.rollback
    engine.dispose()


def set_entry(
    task: str,
    key: str,
    value: bytes = b"1",
    ttl: timedelta | None = None,
    **fields: Any,
) -> Transact:
    """Return the command of a client that writes an entry."""
    written = operations.Set(key, value, ttl)
    return Transact(task=task, operations=(written,), **{"by": "me"} | fields)


def delete_entry(task: str, key: str, **fields: Any) -> Transact:
    """Return the command of a client that removes an entry."""
    removal: dict[str, Any] = {"must_exist": True, "by": "me"}
    return Transact(task=task, operations=(operations.Delete(key),), **removal | fields)


class Client:
    """Operations on a database through its writer, at the time of a clock."""

    database: Database
    writer: Writer

    @property
    def now(self) -> datetime:
        raise NotImplementedError

    @property
    def is_sqlite(self) -> bool:
        return self.database.is_sqlite

    def do(self, command: Command[R]) -> R:
        """Commit a command and return its result."""
        return self.writer.call(command)

    def read(self, reader: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Call a reading function of the store."""
        with self.database.read() as connection:
            return reader(connection, *args, **kwargs)

    def count(self, table: Any, *where: Any) -> int:
        """Return how many rows there are."""
        with self.database.read() as connection:
            found = connection.execute(select(func.count()).select_from(table).where(*where))
            return int(found.scalar_one())

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a writing transaction beside the writer, which must be idle."""
        with self.database.writing.begin() as connection:
            yield Transaction(connection, self.now)

    def end_lease(self, holder: Id) -> None:
        """End the lease of a replica; on SQLite it ends with the process, which another has replaced."""
        with self.transaction() as tx:
            which = tables.replica.c.id == holder
            if tx.is_sqlite:
                tx.connection.execute(delete(tables.replica).where(which))
            else:
                ended = update(tables.replica).where(which)
                tx.connection.execute(ended.values(lease_expires_at=LONG_AGO))

    def register(self, name: str = "t", **fields: Any) -> Task:
        """Register a task, by default one that fires every minute."""
        return self.registration(name, **fields).task

    def registration(self, name: str = "t", **fields: Any) -> Registration:
        """The same, with the result of the registration."""
        own = {key: fields.pop(key) for key in _OF_REGISTER & fields.keys()}
        return self.do(Register(name=name, definition=define(**fields), **own))

    def task(self, name: str = "t") -> Task:
        return self.read(find_task, name)

    def pause(self, name: str = "t", reason: str | None = None) -> Task:
        return self.do(Pause(change(name), reason))

    def resume(self, name: str = "t", catch_up: Any = "none") -> Task:
        return self.do(Resume(change(name), catch_up))

    def cancel(self, name: str = "t") -> Task:
        return self.do(Cancel(change(name)))

    def delete(self, name: str = "t") -> None:
        self.do(Delete(change(name)))

    def run_now(self, name: str = "t", **fields: Any) -> Run:
        return self.do(RunNow(task=name, **fields))

    def run(self, id: Id) -> Run:
        return self.read(find_run, id)

    def runs(self, name: str = "t", **wanted: Any) -> list[Run]:
        """Return the runs of a task, the earliest fire time first."""
        return self.read(list_runs, RunFilter(task=(name,), **wanted), None, 1_000, whole=True)[
            ::-1
        ]

    def attempts(self, id: Id) -> list[Attempt]:
        run = self.run(id)
        return self.read(list_attempts, run)

    def entries(self, name: str = "t") -> dict[str, Any]:
        """Return the kv of a task, without `_result`."""
        found = self.read(kv.list_entries, name, kv.KvFilter(), self.now, limit=1_000)
        return {each.key: json_text.loads(each.value) for each in found if each.key[0] != "_"}

    def set(self, key: str, value: Any, name: str = "t", **fields: Any) -> KvEntry:
        """Write a kv entry as a client."""
        encoded = json_text.dumps(value).encode()
        return self.do(set_entry(name, key, encoded, **{"by": "local"} | fields)).entries[0]


class World(Client):
    """A database with its writer, a fake clock, and one replica that knows HANDLERS."""

    def __init__(
        self,
        url: str,
        now: datetime = NOON,
        keyring: Keyring | None = None,
        alerting: Alerting | None = None,
    ) -> None:
        self.clock = FakeClock(now)
        self.database = Database(url, keyring, alerting=alerting)
        self.effects: list[Effect] = []
        self.writer = Writer(
            self.database.writing,
            self.clock,
            self.effects.extend,
            follow_up=follow_up,
            before_commit=EventLog().record,
            on_error=self.database.record_damage,
        )
        self.writer.start()
        self.do(Announce(tuple(_handler(name) for name in HANDLERS)))
        self.holder = self.enlist()

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def close(self) -> None:
        self.writer.stop()
        self.database.close()

    def enlist(self, *handlers: str) -> Id:
        """Add a replica with the longest lease; return its id."""
        id = random_id()
        ttl = LONGEST_TTL
        with self.transaction() as tx:
            others = tx.connection.execute(select(tables.replica)).mappings().all()
            Enlist(id=id, host="h", pid=1, handlers=handlers or HANDLERS, ttl=ttl).apply(tx)
            if tx.is_sqlite and others:  # which treats the others as dead
                tx.connection.execute(tables.replica.insert(), [dict(row) for row in others])
        return id

    def fire(self) -> None:
        """Fire everything that is due, once."""
        due = self.read(due_tasks, self.now, 1_000)
        for fire in self.writer.call_all([Fire(task, plan(task, self.now)) for task in due]):
            fire.result()

    def claim(
        self,
        limit: int = 100,
        *,
        queue: str = "default",
        handlers: tuple[str, ...] = HANDLERS,
        holder: Id | None = None,
    ) -> list[ClaimedRun]:
        return self.do(
            Claim(holder=holder or self.holder, queue=queue, handlers=handlers, limit=limit)
        ).runs

    def start(self, name: str = "t", *, holder: Id | None = None) -> ClaimedRun:
        """Insert a manual run of a task and claim it."""
        made = self.run_now(name)
        return next(run for run in self.claim(holder=holder) if run.id == made.id)

    def end(self, claimed: ClaimedRun, outcome: Outcome, **fields: Any) -> Settlement:
        return self.do(finish(claimed, outcome, **{"holder": self.holder} | fields))

    def succeed(self, claimed: ClaimedRun, result: str = "null", **entries: Any) -> Settlement:
        """End an attempt with a result and kv entries."""
        return self.end(claimed, success(claimed, result, **entries))


_OF_REGISTER = {
    "paused",
    "on_conflict",
    "by",
    "expected",
    "declared",
    "next_fire",
    "seeds",
    "limits",
}


def numbered(number: int) -> Id:
    """Return an id that is easily distinguished from others."""
    return Id(str(UUID(int=number)))


def change(name: str = "t", expected: Precondition | None = None) -> Change:
    return Change(name=name, by="me", expected=expected)


def success(claimed: ClaimedRun, result: str = "null", **entries: Any) -> Succeeded:
    """Return a success that writes kv entries without having read them; None deletes."""
    changes = tuple(
        KvChange(key, None if value is None else json_text.dumps(value).encode())
        for key, value in entries.items()
    )
    return Succeeded(result, changes, claimed.kv_revision)


def finish(claimed: ClaimedRun, outcome: Outcome, *, holder: Id, **fields: Any) -> Finish:
    """Return the command that ends an attempt as its holder would; `fields` are of the run or of the command."""
    of_run = {name: fields.pop(name) for name in list(fields) if hasattr(claimed, name)}
    if "retry" in fields:
        definition = claimed.definition.model_copy(update={"retry": fields.pop("retry")})
        of_run["definition"] = definition
    run = replace(claimed, **of_run)
    return Finish(run=run, holder=holder, outcome=outcome, **fields)


def _handler(name: str) -> HandlerInfo:
    return HandlerInfo(name=name, description="", input_schema=None, timeout=None, isolation="none")


def triggers(runs: Sequence[Run]) -> list[Trigger]:
    return [run.trigger for run in runs]


def ended(effects: Sequence[Effect]) -> list[tuple[Id, Id, str]]:
    """Return the run, the task and the status of each RunEnded effect."""
    return [
        (each.run_id, each.task_id, each.status) for each in effects if isinstance(each, RunEnded)
    ]
