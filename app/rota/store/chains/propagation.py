"""Propagation: successors (schedule `after`) are notified of ended runs of their predecessors, in the same commit.

On PostgreSQL the rows of the successors are locked meanwhile, by id: of two replicas in which two predecessors end at
once, the second sees what the first has written, and the pair makes one run. A finish locks the tasks of its runs
together with their successors (`successors_of`), which avoids deadlocks. Where one still happens (a skip that is
propagated several tasks down, a cancel of a task that is younger than its successor), the database aborts one of the
two transactions, and the writer executes it again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import bindparam, update

from rota.db.bulk import Bulk
from rota.db.command import StaleError, Transaction
from rota.db.tables import predecessor, run, task
from rota.domain.chains.fan_in import (
    COUNTING,
    JoinBroken,
    JoinComplete,
    PredecessorEnded,
    PredecessorRemoved,
    has_started,
    is_over,
)
from rota.domain.effects import RunEnded
from rota.domain.primitives.ids import Id
from rota.domain.reasons import SkipReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.lineage import Link, LinkKind
from rota.domain.runs.overlap import Line, has_line, replaces_line
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import TaskStatus
from rota.errors import Sealed
from rota.store.chains.merged_input import Results
from rota.store.chains.successors import Successor, lock_successors, successors_by_name
from rota.store.json_columns import dump_error, error_type
from rota.store.runs.insertion import insert_runs
from rota.store.runs.new_run import NewRun, new_run
from rota.store.runs.overlap import lines, place
from rota.store.sealing.secret_inputs import open_input_of, seal_input
from rota.store.task_changes import SERVICE, completing, completing_columns, emit_status

#: How many successors are notified at a time: what a commit holds in memory is bounded, however many there are.
AT_A_TIME = 250

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
        **completing_columns(),
    ),
    apart=True,
)

News = PredecessorEnded | PredecessorRemoved


def notify_successors(tx: Transaction, ended: Iterable[RunEnded], names: Mapping[Id, str]) -> None:
    """Notify the successors of the tasks in `names` (by id) of ended runs of these: they may fire, or skip."""
    _notify(
        tx,
        [
            PredecessorEnded(
                task=names[each.task_id],
                run_id=each.run_id,
                status=each.status,
                reason=each.reason,
            )
            for each in ended
            if each.task_id in names and each.trigger in COUNTING
        ],
    )


def notify_removed(
    tx: Transaction, names: Iterable[str], how: Literal["cancelled", "deleted"]
) -> None:
    """Notify the successors of tasks that these are cancelled or deleted: each skips a run."""
    _notify(tx, [PredecessorRemoved(task=name, how=how) for name in names])


def _notify(tx: Transaction, news: Sequence[News]) -> None:
    if not news:
        return
    names = {each.task for each in news}
    ids = successors_by_name(tx, names)
    for start in range(0, len(ids), AT_A_TIME):
        _take_in(tx, news, ids[start : start + AT_A_TIME])


def _take_in(tx: Transaction, news: Sequence[News], ids: Sequence[Id]) -> None:
    successors = lock_successors(tx, ids)
    for each in successors:
        if has_started(each.schedule, tx.now):
            events = (each.pairing.record(what, each.schedule.on) for what in news)
            each.events = [event for event in events if event is not None]
    firing = [
        each for each in successors if any(isinstance(event, JoinComplete) for event in each.events)
    ]
    results = _results(tx, successors)
    in_line = _lines(tx, firing)
    for each in successors:
        _make_runs(tx, each, results, in_line.get(each.row.id))
    _write(tx, successors)


def _results(tx: Transaction, successors: Sequence[Successor]) -> Results:
    events = (event for each in successors for event in each.events)
    return Results(tx.connection, {id for event in events for id in event.run_ids})


def _lines(tx: Transaction, firing: Sequence[Successor]) -> dict[Id, Line]:
    return lines(
        tx,
        {each.row.id for each in firing if has_line(each.definition.overlap_policy)},
    )


def _make_runs(tx: Transaction, of: Successor, results: Results, line: Line | None) -> None:
    """Make a run of each firing, and a skipped one of each break, until the schedule has ended."""
    policy = of.definition.overlap_policy
    for event in of.events:
        if is_over(of.schedule, of.fired, tx.now):
            break
        made = _to_run(tx, of, event, results)
        if made is None:
            continue
        _link(made, event, results)
        of.runs.append(made)
        if line is not None and not replaces_line(policy):
            line = place(tx, policy, [made], line)
        of.fired += made.status is not RunStatus.SKIPPED
    if line is not None and replaces_line(policy):
        place(tx, policy, of.runs, line)
    of.completed = is_over(of.schedule, of.fired, tx.now)
    if of.completed:
        of.pairing.latest = dict.fromkeys(of.latest)


def _to_run(
    tx: Transaction, of: Successor, event: JoinComplete | JoinBroken, results: Results
) -> NewRun | None:
    """Return the run that an event makes; None if it is added to the one that represents a pause."""
    if isinstance(event, JoinBroken):
        of.gap_run_id = None
        return _skipped(tx, of, RunError("predecessor", event.cause.message))
    if of.row.status == TaskStatus.PAUSED:
        return None if _extended(tx, of) else _paused(tx, of)
    of.gap_run_id = None
    try:
        own = open_input_of(tx.connection, of.row.id, of.definition, of.row.input)
    except Sealed as error:
        return _skipped(tx, of, RunError("sealed", error.detail))
    merged = results.merged(own, of.schedule.merge, event.runs)
    if isinstance(merged, RunError):
        return _skipped(tx, of, merged)
    made = _run(tx, of, seal_input(tx.connection, of.row.id, of.definition, merged))
    made.traceparent = results.traceparent(event.by)
    return made


def _link(made: NewRun, event: JoinComplete | JoinBroken, results: Results) -> None:
    """Note the runs that a run has followed from. It continues the chain of the one that was still missing."""
    made.fed_by = tuple(Link(id, LinkKind.AFTER) for id in event.run_ids)
    if event.by is not None:
        made.chain_id = results.chain(event.by)


def _extended(tx: Transaction, of: Successor) -> bool:
    """Add a firing that a pause keeps from running to the ones before it; what is skipped in a row is one run."""
    if of.gap_run_id is None:
        return False
    last = of.runs[-1] if of.runs else None
    if last is not None and last.id == of.gap_run_id:
        last.count += 1
        last.scheduled_until = tx.now
        return True
    extended = tx.connection.execute(
        update(run)
        .where(run.c.id == of.gap_run_id, run.c.reason == SkipReason.PAUSED)
        .values(count=run.c.count + 1, scheduled_until=tx.now)
    )
    return extended.rowcount == 1


def _paused(tx: Transaction, of: Successor) -> NewRun:
    made = _run(tx, of, of.row.input)
    made.skip(SkipReason.PAUSED)
    of.gap_run_id = made.id
    return made


def _skipped(tx: Transaction, of: Successor, error: RunError) -> NewRun:
    made = _run(tx, of, of.row.input)
    made.skip(SkipReason.PREDECESSOR)
    made.error, made.error_type = dump_error(error), error_type(error)
    return made


def _run(tx: Transaction, of: Successor, input: str) -> NewRun:
    row = of.row
    return new_run(of.definition, tx.now, row.id, row.generation, Trigger.AFTER, tx.now, input)


def _write(tx: Transaction, successors: Sequence[Successor]) -> None:
    insert_runs(tx, [made for each in successors for made in each.runs])
    pairings = [change for each in successors for change in _pairing_changes(each)]
    tasks = [_task_change(tx, each) for each in successors if _is_changed(each)]
    written = _UPDATE_PREDECESSOR.execute(tx.connection, pairings)
    written += _UPDATE_TASK.execute(tx.connection, tasks)
    if written != len(pairings) + len(tasks):
        raise StaleError("successors were changed by another replica")
    for each in successors:
        if each.completed:
            emit_status(tx, each.row.id, TaskStatus.COMPLETED, SERVICE)


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
        **completing(of.row.status, tx.now, completed=of.completed),
    }
