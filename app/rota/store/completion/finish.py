"""The end of attempts: the outcome decides the state of the run; guards keep a lost attempt from writing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, select

from rota.db.command import Command, StaleError, Transaction
from rota.db.tables import replica, run, task
from rota.db.types import is_one_of, spelled_out
from rota.domain.alerts.notifiers import NOTIFIERS
from rota.domain.kv.entries import DEFAULT_LIMITS, KvLimits
from rota.domain.kv.run_writes import KvWrites, TableWrites
from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun, LogLine, Progress
from rota.domain.runs.outcomes import Blame, Failed, Lost, Outcome, Succeeded
from rota.domain.runs.run_facts import RunFacts
from rota.domain.runs.settlement import Settlement, settle
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import HTTP_HANDLER
from rota.errors import LeaseLost
from rota.store import replicas
from rota.store.completion.end import End
from rota.store.completion.kv_writes import PlannedWrites, RunWrites, plan_writes
from rota.store.completion.record import Guard, record
from rota.store.completion.registrations import (
    Requesting,
    execute_requests,
    registered_tasks,
    seeds_written_to,
)
from rota.store.completion.task_locks import lock_free_with_successors, lock_with_successors
from rota.store.definitions import read_definition
from rota.store.runs import logs
from rota.store.task_locks import LockedTask

_REAPED_AT_A_TIME = 500
# What runs Rota's own code only, which ends no process.
_BUILT_IN = NOTIFIERS | {HTTP_HANDLER}


class _Orphan(NamedTuple):
    """A running run whose holder is gone."""

    id: Id
    task_id: Id
    handler: str
    attempt: int
    holder: Id
    failures: int
    lost_count: int
    conflict_count: int
    first_started_at: datetime
    started_at: datetime
    cancel_reason: str | None
    queue: str
    trigger: str
    concurrency_key: str | None
    constrained: bool
    definition: str


@value_class(kw_only=True)
class Finish(Command[Settlement]):
    """End an attempt. Raises LeaseLost, and writes nothing, if the run is not this attempt's any more."""

    batched = True

    run: ClaimedRun
    #: None: the attempt is not held by a process, but by its token.
    holder: Id | None
    outcome: Outcome
    lines: tuple[LogLine, ...] = ()
    progress: Progress | None = None
    limits: KvLimits = DEFAULT_LIMITS
    #: The tables that it writes to, if it has succeeded; computed once, since it is needed several times.
    tables: Sequence[TableWrites] = field(init=False, default=())

    def __post_init__(self) -> None:
        made = self.outcome
        if isinstance(made, Succeeded) and (made.changes or made.others):
            work = KvWrites(made.changes, made.kv_revision, made.others)
            object.__setattr__(self, "tables", work.tables(self.run.task_id, self.run.task))

    @property
    def run_id(self) -> Id:
        return self.run.id

    @property
    def task_id(self) -> Id:
        return self.run.task_id

    @property
    def writes(self) -> RunWrites:
        """What it writes to key-value tables."""
        result = self.outcome.result if isinstance(self.outcome, Succeeded) else None
        return RunWrites(self.run, self.tables, self.limits, result)

    @classmethod
    def guards(cls) -> tuple[Guard, ...]:
        """Return what must still be so when the end is written."""
        return (still_running, same_attempt, same_holder, same_request)

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence["Finish"]) -> list[Settlement]:
        writers = [command.writes for command in commands]
        task_ids = {command.run.task_id for command in commands} | written_tasks(writers)
        requesting = _requesting(commands)
        tables = (table for each in writers for table in each.tables)
        if len(commands) > 1 and requesting and seeds_written_to(requesting, tables):
            raise StaleError("the seeds of a run are computed with the writes of that run alone")
        tasks = lock_with_successors(tx, task_ids | registered_tasks(tx, requesting))
        ids = [command.run.id for command in commands]
        planned = plan_writes(tx, writers, tasks)
        refused: Mapping[Id, RunError] = {}
        if requesting:
            accepted = [each for each in requesting if each.run_id not in planned.obstacles]
            refused = execute_requests(tx, accepted)
            if refused:
                if len(commands) > 1:
                    raise StaleError("a run is refused whose writes the others may have built on")
                planned = PlannedWrites()
            # They may have changed these very tasks, and requested these runs to end.
            tasks = _locked_again(tx, tasks, planned)
        cancels = {} if _all_succeeded(commands) else _cancel_reasons(tx, ids)
        ends = [_end(command, cancels, planned, refused, tx.now) for command in commands]
        try:
            record(tx, ends, tasks, planned, cls.guards())
        except LeaseLost:
            if len(commands) == 1 and _cancel_reasons(tx, ids) != cancels:
                raise StaleError("a cancel was requested meanwhile") from None
            raise
        logs.insert_lines(
            tx, [(command.run.id, command.run.attempt, command.lines) for command in commands]
        )
        return [end.settlement for end in ends]


@dataclass(frozen=True, slots=True)
class Reap(Command[int]):
    """Release the runs whose replica has lost its lease; return how many (at most 500 at a time).

    Those that another replica has locked are left for the next time; so are all of a command that meets the lock of a
    run that only follows from one of them (Locked). `only` is for releasing the others then.
    """

    patient = False

    #: The replica that reaps: it is alive.
    by: Id | None = None
    #: Whether replicas with an expired lease are removed, or only runs of removed ones are released.
    judging: bool = True
    only: Id | None = None

    def apply(self, tx: Transaction) -> int:
        if self.judging:
            replicas.remove_expired(tx, but=self.by)
        which = () if self.only is None else (run.c.id == self.only,)
        orphaned = and_(still_running(), holder_is_gone(), *which)
        found = tx.connection.execute(
            select(run.c.id, run.c.task_id).where(orphaned).limit(_REAPED_AT_A_TIME)
        ).all()
        tasks = lock_free_with_successors(tx, {row.task_id for row in found})
        # Read again once the tasks are locked: a run may have ended or been cancelled meanwhile.
        rows = tx.connection.execute(
            select(*(run.c[name] for name in _Orphan._fields[:-1]), task.c.definition)
            .join(task, task.c.id == run.c.task_id)
            .where(run.c.id.in_([row.id for row in found if row.task_id in tasks]), orphaned)
            .order_by(run.c.id)
            .with_for_update(of=run, skip_locked=True)
        )
        ends = [_lost(_Orphan._make(row), tx.now) for row in rows]
        if ends:
            guards = (still_running, same_attempt, holder_is_gone, same_request)
            record(tx, ends, tasks, PlannedWrites(), guards)
        return len(ends)


def orphans(connection: Connection) -> list[Id]:
    """Return running runs whose replica has no live lease, whether it is removed or not (at most 500)."""
    live = select(replica.c.id).where(replicas.is_live(connection.dialect.name == "sqlite"))
    orphaned = and_(still_running(), run.c.holder.not_in(live))
    statement = select(run.c.id).where(orphaned).order_by(run.c.id).limit(_REAPED_AT_A_TIME)
    return list(connection.execute(statement).scalars())


def still_running() -> ColumnElement[bool]:
    """Guard: a run that is final stays as it is."""
    return run.c.status == spelled_out(RunStatus.RUNNING)


def same_attempt() -> ColumnElement[bool]:
    """Guard: a run that was started again since is another attempt's."""
    return run.c.attempt == bindparam("g_attempt")


def same_holder() -> ColumnElement[bool]:
    """Guard: a run that another process holds is not this attempt's."""
    return run.c.holder == bindparam("g_holder")


def same_request() -> ColumnElement[bool]:
    """Guard: a cancel that was requested since is not overlooked."""
    return run.c.cancel_reason.is_not_distinct_from(
        bindparam("g_cancel_reason", type_=run.c.cancel_reason.type)
    )


def holder_is_gone() -> ColumnElement[bool]:
    """Guard: a replica with a lease keeps its runs."""
    return run.c.holder.not_in(select(replica.c.id))


_REQUESTED_TO_END = select(run.c.id, run.c.cancel_reason).where(
    is_one_of(run.c.id, "g_ids"), run.c.cancel_reason.is_not(None)
)


def _cancel_reasons(tx: Transaction, ids: Sequence[Id]) -> dict[Id, str]:
    """Return the reasons of those of the runs that are requested to end; nearly always there are none."""
    rows = tx.connection.execute(_REQUESTED_TO_END, {"g_ids": ids})
    return {row.id: row.cancel_reason for row in rows}


def _all_succeeded(commands: Sequence[Finish]) -> bool:
    """Return whether these are several successes: they are rarely requested to end, which `same_request` detects."""
    return len(commands) > 1 and all(isinstance(each.outcome, Succeeded) for each in commands)


def written_tasks(writers: Iterable[RunWrites]) -> set[Id]:
    """Return the tasks whose kv these attempts write to, so that they are locked with the others."""
    return {table.task_id for each in writers for table in each.tables}


def _locked_again(
    tx: Transaction, before: Mapping[Id, LockedTask], planned: PlannedWrites
) -> dict[Id, LockedTask]:
    """Return locked tasks as this commit has changed them, with the planned writes on top."""
    tasks = lock_with_successors(tx, before)
    for id, table in planned.tables.items():
        table.rebase(before[id], tasks[id])
    return tasks


def _requesting(commands: Sequence[Finish]) -> list[Requesting]:
    return [
        Requesting(each.run.id, each.run.task_id, each.outcome, each.tables, each.limits)
        for each in commands
        if isinstance(each.outcome, Succeeded)
        and (each.outcome.registrations or each.outcome.next_fire)
    ]


def _outcome(command: Finish, planned: PlannedWrites, refused: Mapping[Id, RunError]) -> Outcome:
    id = command.run.id
    if id in planned.obstacles:
        return planned.obstacles[id]
    return Failed(refused[id]) if id in refused else command.outcome


def _end(
    command: Finish,
    cancels: Mapping[Id, str],
    planned: PlannedWrites,
    refused: Mapping[Id, RunError],
    now: datetime,
) -> End:
    claimed = command.run
    cancel_reason = cancels.get(claimed.id) if cancels else None
    outcome = _outcome(command, planned, refused)
    facts = RunFacts.of(claimed, cancel_reason)
    return End(
        run=claimed,
        holder=command.holder,
        cancel_reason=cancel_reason,
        settlement=settle(facts, outcome, claimed.definition.retry, now),
        progress=command.progress,
    )


def _lost(orphan: _Orphan, now: datetime) -> End:
    retry = read_definition(orphan.definition).retry
    facts = RunFacts.of(orphan, orphan.cancel_reason)
    return End(
        run=orphan,
        holder=orphan.holder,
        cancel_reason=orphan.cancel_reason,
        settlement=settle(facts, Lost(_blame(orphan)), retry, now),
    )


def _blame(orphan: _Orphan) -> Blame:
    """Another attempt may have ended the process, or something outside of it."""
    return Blame.NONE if orphan.handler in _BUILT_IN else Blame.SHARED
