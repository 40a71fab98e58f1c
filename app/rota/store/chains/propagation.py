"""Succession: tasks that come after others (`after`) hear how those have ended, in the commit in which they do.

On PostgreSQL the rows of the successors are locked while they hear, by id: of two replicas in which two predecessors
end at once, the second sees what the first has written, and the pair makes one run. Who finishes runs locks their tasks
and those that come after them together (`successors_of`), so that nobody waits in a circle. Where it still happens (a
skip that is told several tasks down, a cancel of a task that is younger than its successor), the database ends one of
the two transactions, and the writer does it again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import bindparam, func, insert, update

from rota.db.bulk import Bulk
from rota.db.tables import predecessor, run, task
from rota.db.writer import StaleError, Transaction
from rota.domain.chains.fan_in import COUNTING, Breaks, Ended, Fires, Gone, begun, is_over
from rota.domain.effects import RunEnded, TaskChanged
from rota.domain.policies import OverlapPolicy
from rota.domain.primitives.ids import Id
from rota.domain.reasons import SkipReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import TaskStatus
from rota.errors import Sealed
from rota.store.chains.merged_input import Inheritance
from rota.store.chains.successors import Successor, lock_successors, successors_by_name
from rota.store.json_columns import dump_error
from rota.store.replicas import known_handlers
from rota.store.runs.insertion import COLUMNS, new_run_of
from rota.store.runs.overlap import Line, lines, place
from rota.store.runs.waiting import insertable, tell_inserted
from rota.store.secret_inputs import open_input_of, seal_input

#: How many successors hear at a time: what a commit holds in memory is bounded, however many there are.
AT_A_TIME = 250

_INSERT = Bulk(insert(run), (*COLUMNS, "error"), apart=True)
_UPDATE_PREDECESSOR = Bulk(
    update(predecessor)
    .where(predecessor.c.task_id == bindparam("g_id"), predecessor.c.name == bindparam("g_name"))
    .values(run_id=bindparam("n_run_id"))
)
_UPDATE_TASK = Bulk(
    update(task)
    .where(task.c.id == bindparam("g_id"))
    .values(
        fired=bindparam("n_fired"),
        gap_run_id=bindparam("n_gap_run_id"),
        status=bindparam("n_status"),
        status_changed_at=func.coalesce(
            bindparam("n_completed_at", type_=task.c.status_changed_at.type),
            task.c.status_changed_at,
        ),
        status_changed_by=func.coalesce(
            bindparam("n_completed_by", type_=task.c.status_changed_by.type),
            task.c.status_changed_by,
        ),
    ),
    apart=True,
)

News = Ended | Gone


def feed(tx: Transaction, ended: Iterable[RunEnded], names: Mapping[Id, str]) -> None:
    """Tell whoever comes after the tasks in `names` (by id) how runs of these have ended: it may fire, or skip."""
    _tell(
        tx,
        [
            Ended(
                task=names[each.task_id],
                run_id=each.run_id,
                status=each.status,
                reason=each.reason,
            )
            for each in ended
            if each.task_id in names and each.trigger in COUNTING
        ],
    )


def tell_gone(tx: Transaction, names: Iterable[str], how: Literal["cancelled", "deleted"]) -> None:
    """Tell whoever comes after the tasks with these names that they are cancelled or deleted: each skips a run."""
    _tell(tx, [Gone(task=name, how=how) for name in names])


def _tell(tx: Transaction, news: Sequence[News]) -> None:
    if not news:
        return
    names = {each.task for each in news}
    ids = successors_by_name(tx, names)
    for start in range(0, len(ids), AT_A_TIME):
        _hear(tx, news, ids[start : start + AT_A_TIME])


def _hear(tx: Transaction, news: Sequence[News], ids: Sequence[Id]) -> None:
    successors = lock_successors(tx, ids)
    for each in successors:
        if begun(each.schedule, tx.now):
            events = (each.pairing.hear(what, each.schedule.on) for what in news)
            each.heard = [event for event in events if event is not None]
    firing = [each for each in successors if any(isinstance(event, Fires) for event in each.heard)]
    inherited = _inheritance(tx, firing)
    in_line = _lines(tx, firing)
    for each in successors:
        _make_runs(tx, each, inherited, in_line.get(each.row.id))
    _write(tx, successors)


def _inheritance(tx: Transaction, firing: Sequence[Successor]) -> Inheritance:
    events = (event for each in firing for event in each.heard)
    runs = {id for event in events if isinstance(event, Fires) for id in event.runs.values()}
    return Inheritance(tx.connection, runs)


def _lines(tx: Transaction, firing: Sequence[Successor]) -> dict[Id, Line]:
    return lines(
        tx,
        {
            each.row.id
            for each in firing
            if each.definition.overlap_policy is not OverlapPolicy.ALLOW
        },
    )


def _make_runs(tx: Transaction, of: Successor, inherited: Inheritance, line: Line | None) -> None:
    """Make a run of each firing, and a skipped one of each break, until the schedule is over."""
    policy = of.definition.overlap_policy
    for event in of.heard:
        if is_over(of.schedule, of.fired, tx.now):
            break
        row = _run_row(tx, of, event, inherited)
        if row is None:
            continue
        of.runs.append(row)
        if line is not None and policy is not OverlapPolicy.REPLACE:
            place(tx, policy, [row], line)
        of.fired += row["status"] is not RunStatus.SKIPPED
    if line is not None and policy is OverlapPolicy.REPLACE:
        place(tx, policy, of.runs, line)
    of.completed = is_over(of.schedule, of.fired, tx.now)
    if of.completed:
        of.pairing.latest = dict.fromkeys(of.latest)


def _run_row(
    tx: Transaction, of: Successor, event: Fires | Breaks, inherited: Inheritance
) -> dict[str, Any] | None:
    """Return the row of the run that an event makes; None if it is added to the one that stands for a pause."""
    if isinstance(event, Breaks):
        of.gap_run_id = None
        return _skipped(tx, of, RunError("predecessor", event.cause.told))
    if of.row.status == TaskStatus.PAUSED:
        return None if _extended(tx, of) else _paused(tx, of)
    of.gap_run_id = None
    try:
        own = open_input_of(tx.connection, of.row.id, of.definition, of.row.input)
    except Sealed as error:
        return _skipped(tx, of, RunError("sealed", error.detail))
    merged = inherited.merged(own, of.schedule.merge, event.runs)
    if isinstance(merged, RunError):
        return _skipped(tx, of, merged)
    return _row(tx, of, input=seal_input(tx.connection, of.row.id, of.definition, merged))


def _extended(tx: Transaction, of: Successor) -> bool:
    """Add a firing that a pause keeps from running to the ones before it; what is skipped in a row is one run."""
    if of.gap_run_id is None:
        return False
    last = of.runs[-1] if of.runs else {}
    if last.get("id") == of.gap_run_id:
        last |= {"count": last["count"] + 1, "scheduled_until": tx.now}
        return True
    extended = tx.connection.execute(
        update(run)
        .where(run.c.id == of.gap_run_id, run.c.reason == SkipReason.PAUSED)
        .values(count=run.c.count + 1, scheduled_until=tx.now)
    )
    return extended.rowcount == 1


def _paused(tx: Transaction, of: Successor) -> dict[str, Any]:
    row = _row(tx, of, status=RunStatus.SKIPPED, reason=SkipReason.PAUSED)
    of.gap_run_id = row["id"]
    return row


def _skipped(tx: Transaction, of: Successor, error: RunError) -> dict[str, Any]:
    row = _row(tx, of, status=RunStatus.SKIPPED, reason=SkipReason.PREDECESSOR)
    return row | {"error": dump_error(error)}


def _row(tx: Transaction, of: Successor, **members: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "generation": of.row.generation,
        "trigger": Trigger.AFTER,
        "scheduled_for": tx.now,
        "input": of.row.input,
    }
    row = new_run_of(of.definition, tx.now, of.row.id, **defaults | members)
    return row | {"error": None}


def _write(tx: Transaction, successors: Sequence[Successor]) -> None:
    rows = [row for each in successors for row in each.runs]
    if rows:
        known = known_handlers(tx.connection)
        _INSERT.execute(tx.connection, [insertable(row, known) for row in rows])
        tell_inserted(tx, rows)
    pairings = [change for each in successors for change in _pairing_changes(each)]
    tasks = [_task_change(tx, each) for each in successors if _is_changed(each)]
    written = _UPDATE_PREDECESSOR.execute(tx.connection, pairings)
    written += _UPDATE_TASK.execute(tx.connection, tasks)
    if written != len(pairings) + len(tasks):
        raise StaleError("what comes after these tasks was changed just now")
    over = (each.row.id for each in successors if each.completed)
    tx.effects.extend(TaskChanged(id, "completed", "rota") for id in over)


def _pairing_changes(of: Successor) -> list[dict[str, Any]]:
    return [
        {"g_id": of.row.id, "g_name": name, "n_run_id": run_id}
        for name, run_id in of.pairing.latest.items()
        if run_id != of.latest[name]
    ]


def _is_changed(of: Successor) -> bool:
    return of.completed or (of.fired, of.gap_run_id) != (of.row.fired, of.row.gap_run_id)


def _task_change(tx: Transaction, of: Successor) -> dict[str, Any]:
    return {
        "g_id": of.row.id,
        "n_fired": of.fired,
        "n_gap_run_id": of.gap_run_id,
        "n_status": TaskStatus.COMPLETED if of.completed else of.row.status,
        "n_completed_at": tx.now if of.completed else None,
        "n_completed_by": "rota" if of.completed else None,
    }
