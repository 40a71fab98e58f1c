"""The verb that runs many tasks now: which of them may is decided task by task, and written with a few statements."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from rota.db.command import Transaction
from rota.db.tables import run
from rota.db.types import among
from rota.domain.access.quotas import Quota
from rota.domain.primitives.ids import Id
from rota.domain.runs.overlap import Line, has_line, replaces_line, skipped_for
from rota.domain.runs.status import Trigger
from rota.domain.tasks.task import Task
from rota.errors import AppError
from rota.store.access.quotas import used
from rota.store.alerts.watching import check_sooner
from rota.store.runs.holding import NOT_HELD
from rota.store.runs.insertion import insert_runs
from rota.store.runs.new_run import NewRun, new_run
from rota.store.runs.overlap import lines, place
from rota.store.sealing.secret_inputs import stored_input
from rota.store.task_rows import check_not_cancelled, tasks_by_id
from rota.store.tasks.bulk_verbs import TASKS_TOGETHER, Chosen, Done, Refused
from rota.store.tasks.run_commands import skips_on_overlap

#: The bytes of the inputs that one write copies.
MOST_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class RunEach:
    """The verb that runs tasks now, each with its own input, as `RunNow` does.

    Beyond the quota the others are refused; each that runs counts as one more, whatever it replaces.
    """

    traceparent: str | None = None
    quota: Quota | None = None

    @property
    def tasks_per_write(self) -> int:
        return TASKS_TOGETHER

    def do(self, tx: Transaction, chosen: Sequence[Chosen], *, dry_run: bool) -> Done:
        counted = 0 if self.quota is None else used(tx, self.quota)
        found = tasks_by_id(tx.connection, [each.id for each in chosen], lock=not dry_run)
        batch = _Runs(self, tx, _lines(tx, found.values()), counted)
        seen = 0
        for each in chosen:
            if batch.size > MOST_BYTES:
                break
            seen += 1
            if each.id in found:
                batch.add(found[each.id])
        if not dry_run:
            batch.write()
        ran = [] if dry_run else [each.name for each in batch.tasks]
        return Done(seen, len(batch.made), batch.refused(), ran=ran)


@dataclass(slots=True)
class _Runs:
    """The runs that one write makes, and the tasks that it makes none of."""

    verb: RunEach
    tx: Transaction
    #: Where a further run of each task begins.
    lines: Mapping[Id, Line]
    #: How many unfinished runs count towards the quota.
    used: int
    made: list[NewRun] = field(default_factory=list)
    #: The tasks of `made`, in the same order.
    tasks: list[Task] = field(default_factory=list)
    #: The bytes of their inputs.
    size: int = 0
    _refused: list[Refused] = field(default_factory=list)
    #: Tasks that skip on overlap, by the unfinished run because of which they do.
    _busy: dict[str, Id] = field(default_factory=dict)

    def add(self, task: Task) -> None:
        """Make the run of a task, unless it is refused."""
        busy = skipped_for(task.definition.overlap_policy, self.lines.get(task.id, Line()))
        try:
            check_not_cancelled(task)
            made = self._new(task)
            if busy is None and self.verb.quota is not None:
                self.verb.quota.check(self.used, self.used + 1)
        except AppError as error:
            self._refused.append(Refused.of(task.name, error))
            return
        if busy is not None:
            self._busy[task.name] = busy
            return
        self.made.append(made)
        self.tasks.append(task)
        self.used += 1
        self.size += len(made.input)

    def _new(self, task: Task) -> NewRun:
        now = self.tx.now
        input = stored_input(self.tx.connection, task.id, task.definition)
        made = new_run(task.definition, now, task.id, task.generation, Trigger.MANUAL, now, input)
        made.traceparent = self.verb.traceparent
        return made

    def write(self) -> None:
        """Place and insert the runs."""
        for task, made in zip(self.tasks, self.made, strict=True):
            line = self.lines.get(task.id)
            if line is not None and line.last is not None:
                place(self.tx, task.definition.overlap_policy, [made], line)
        insert_runs(self.tx, self.made)
        for task in self.tasks:
            check_sooner(self.tx, task, self.tx.now)

    def refused(self) -> list[Refused]:
        """Return the tasks that are refused, by name."""
        statuses = _statuses(self.tx.connection, self._busy.values())
        overlaps = (
            Refused.of(name, skips_on_overlap(name, id, statuses[id]))
            for name, id in self._busy.items()
        )
        return sorted((*self._refused, *overlaps), key=lambda each: each.task)


def _lines(tx: Transaction, tasks: Iterable[Task]) -> dict[Id, Line]:
    """Return the lines of those of the tasks that do not allow overlap, as `RunNow` meets them."""
    ids: dict[bool, list[Id]] = {True: [], False: []}
    for each in tasks:
        policy = each.definition.overlap_policy
        if has_line(policy):
            ids[replaces_line(policy)].append(each.id)
    return lines(tx, ids[True]) | lines(tx, ids[False], NOT_HELD)


def _statuses(connection: Connection, ids: Iterable[Id]) -> Mapping[Id, str]:
    these = select(run.c.id, run.c.status).where(among(run.c.id, list(ids)))
    return {row.id: row.status for row in connection.execute(these)}
