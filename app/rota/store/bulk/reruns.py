"""Reruns of many runs: which of them may begin is decided run by run, and written with a few statements for all.

Among the runs that one operation makes, a task that skips on overlap, or replaces, has them wait for each other: they
are what it was asked for together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, select

from rota.db.command import Transaction
from rota.db.tables import bulk_item, run
from rota.db.types import among, is_one_of
from rota.domain.bulk.model import Bulk, Refusal
from rota.domain.policies import MOST_BUFFERED, OverlapPolicy
from rota.domain.primitives.ids import Id
from rota.domain.runs.lineage import Link, LinkKind
from rota.domain.runs.overlap import Line, admit, has_line, replaces_line, skipped_for
from rota.domain.runs.status import Trigger
from rota.domain.tasks.task import Task
from rota.errors import AppError
from rota.store.alerts.watching import check_sooner
from rota.store.bulk.batch import PresentRun, Verdicts
from rota.store.runs.insertion import insert_runs
from rota.store.runs.new_run import NewRun, new_run
from rota.store.runs.overlap import lines, place
from rota.store.sealing.secret_inputs import seal_input
from rota.store.task_rows import check_not_cancelled, tasks_by_id

#: The bytes of the inputs that one write copies.
MOST_BYTES = 1_048_576

#: Handlers that do not accept the input of an operation, and why not.
Unfit = Mapping[str, str]

_MADE = select(bulk_item.c.new_run_id).where(
    is_one_of(bulk_item.c.new_run_id, "g_ids"),
    bulk_item.c.bulk_id == bindparam("g_bulk", type_=bulk_item.c.bulk_id.type),
)
_SECRET = Refusal(
    "invalid-input",
    "The input of its task is secret, and that of a bulk operation is stored as it is: run this one again by itself.",
)


def rerun(
    tx: Transaction,
    of: Bulk,
    runs: Sequence[PresentRun],
    unfit: Unfit,
    counted: int,
    verdicts: Verdicts,
) -> int:
    """Make a run for each of these; return how many were dealt with. `counted`: what counts towards the quota.

    It ends early where as many runs of a task wait in line as may, and where their inputs are large: those after it are
    for later.
    """
    runs = _fitting(of, runs)
    tasks = tasks_by_id(tx.connection, list({each.task_id for each in runs}), lock=True)
    batch = _Reruns.begin(tx, of, tasks, unfit, counted)
    inputs = _inputs(tx.connection, of, runs)
    seen = 0
    for each in runs:
        if not batch.has_room(each):
            break
        seen += 1
        if each.id not in inputs:
            verdicts.changed(each.id, "It was removed.")
            continue
        why = batch.refusal(each) or batch.add(each, inputs[each.id])
        if why is not None:
            verdicts.refuse(each.id, why)
    batch.write(verdicts)
    return seen


@dataclass(slots=True)
class _Reruns:
    """The runs that one write makes."""

    tx: Transaction
    of: Bulk
    tasks: Mapping[Id, Task]
    unfit: Unfit
    #: Where a further run of each task begins.
    lines: dict[Id, Line]
    #: The tasks in whose lines the last run is one of this operation.
    own: set[Id]
    #: How many unfinished runs count towards the quota.
    used: int
    made: list[NewRun] = field(default_factory=list)

    @classmethod
    def begin(
        cls, tx: Transaction, of: Bulk, tasks: Mapping[Id, Task], unfit: Unfit, counted: int
    ) -> "_Reruns":
        in_line = [each.id for each in tasks.values() if has_line(each.definition.overlap_policy)]
        found = lines(tx, in_line)
        last = {line.last: id for id, line in found.items() if line.last is not None}
        own = {last[id] for id in _made_by(tx.connection, of.id, list(last))}
        return cls(tx, of, tasks, unfit, found, own, counted)

    def has_room(self, each: PresentRun) -> bool:
        """Return whether the line of its task is short enough for one more."""
        task = self.tasks.get(each.task_id)
        line = None if task is None else self.lines.get(task.id)
        return line is None or line.waiting < MOST_BUFFERED or self._is_busy(each)

    def _is_busy(self, each: PresentRun) -> bool:
        """Return whether it would be refused because of another run, so that there is nothing to wait for."""
        task = self.tasks[each.task_id]
        busy = skipped_for(task.definition.overlap_policy, self.lines[task.id])
        return busy is not None and task.id not in self.own

    def refusal(self, each: PresentRun) -> Refusal | None:
        """Return why there can be no rerun of it now."""
        task = self.tasks.get(each.task_id)
        if task is None:
            return Refusal("not-found", f"Task {each.task!r} was deleted.")
        if (ended := _cancelled(task)) is not None:
            return ended
        if task.id in self.lines and self._is_busy(each):
            busy = self.lines[task.id].busy
            return Refusal(
                "overlap", f"Task {task.name!r} skips on overlap, and run {busy} is unfinished."
            )
        if self.of.request.input is not None:
            if task.definition.secret_input:
                return _SECRET
            if task.definition.handler in self.unfit:
                return Refusal("invalid-input", self.unfit[task.definition.handler])
        return self._beyond_quota()

    def _beyond_quota(self) -> Refusal | None:
        if self.of.quota is None:
            return None
        try:
            self.of.quota.check(self.used, self.used + 1)
        except AppError as error:
            return Refusal.of(error)
        return None

    def add(self, each: PresentRun, input: str) -> Refusal | None:
        """Make the run; return why it cannot be made, if its input cannot be stored."""
        task = self.tasks[each.task_id]
        try:
            made = self._new(task, each, input)
        except AppError as error:
            return Refusal.of(error)
        self._place(task, made)
        self.made.append(made)
        self.used += 1
        return None

    def _new(self, task: Task, each: PresentRun, input: str) -> NewRun:
        made = new_run(
            task.definition,
            self.tx.now,
            task.id,
            task.generation,
            Trigger.RERUN,
            each.scheduled_for,
            seal_input(self.tx.connection, task.id, task.definition, input),
        )
        made.rerun_of, made.chain_id = each.id, each.chain_id
        made.fed_by = (Link(each.id, LinkKind.RERUN),)
        made.traceparent = self.of.request.traceparent
        return made

    def _place(self, task: Task, made: NewRun) -> None:
        line = self.lines.get(task.id)
        if line is None:
            return
        policy = task.definition.overlap_policy
        if replaces_line(policy) and task.id not in self.own:
            # The others are cancelled, and this one waits for what is running.
            place(self.tx, policy, [made], line)
            self.lines[task.id] = Line(made.id, 0, made.id)
        else:
            admitted = admit(OverlapPolicy.BUFFER, line, [made.id])
            made.take(admitted.places[0])
            self.lines[task.id] = admitted.line
        self.own.add(task.id)

    def write(self, verdicts: Verdicts) -> None:
        """Insert the runs."""
        insert_runs(self.tx, self.made)
        for task_id in {each.task_id for each in self.made}:
            check_sooner(self.tx, self.tasks[task_id], self.tx.now)
        for each in self.made:
            assert each.rerun_of is not None
            verdicts.done(each.rerun_of, each.id)


def _fitting(of: Bulk, runs: Sequence[PresentRun]) -> Sequence[PresentRun]:
    """Return the first runs whose inputs have MOST_BYTES together, at least one: a write holds all of them."""
    given = of.request.input
    total = 0
    for number, each in enumerate(runs):
        total += each.input_size if given is None else len(given)
        if total > MOST_BYTES:
            return runs[: max(number, 1)]
    return runs


def _inputs(connection: Connection, of: Bulk, runs: Sequence[PresentRun]) -> Mapping[Id, str]:
    """Return the inputs that the new runs get, by what they repeat; without those that were removed meanwhile."""
    given = of.request.input
    these = among(run.c.id, [each.id for each in runs])
    if given is not None:
        return dict.fromkeys(connection.execute(select(run.c.id).where(these)).scalars(), given)
    rows = connection.execute(select(run.c.id, run.c.input).where(these))
    return {row.id: row.input for row in rows}


def _cancelled(task: Task) -> Refusal | None:
    """Return why a task that is cancelled by now, as it is locked, makes no run."""
    try:
        check_not_cancelled(task)
    except AppError as error:
        return Refusal.of(error)
    return None


def _made_by(connection: Connection, bulk_id: Id, ids: Sequence[Id]) -> set[Id]:
    """Return those of the runs that an operation has made."""
    if not ids:
        return set()
    return set(connection.execute(_MADE, {"g_ids": list(ids), "g_bulk": bulk_id}).scalars())
