"""What the ends of runs raise and end, of the tasks that have rules for it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from rota.db.command import Transaction
from rota.db.connection_state.alerting import alerting_of
from rota.db.tables import alert, run
from rota.db.types import is_one_of
from rota.domain.alerts.defaults import Rules
from rota.domain.alerts.rules import AlertKind
from rota.domain.alerts.run_ends import Change, EndOfRun, changes, rate_change
from rota.domain.effects import RunEnded
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import RunStatus, Trigger
from rota.store.alerts.edges import Edge, Subject, lock_subjects, write_edges

_RAISED = select(alert.c.task_id, alert.c.kind).where(is_one_of(alert.c.task_id, "g_ids"))
# By fire time, for which there is an index: a backfill of old times is no evidence of the present state.
_LATEST = (
    select(run.c.status)
    .where(
        run.c.task_id == bindparam("g_task"),
        run.c.status.in_([RunStatus.SUCCEEDED, RunStatus.FAILED]),
        run.c.trigger != Trigger.NOTIFICATION,
    )
    .order_by(run.c.scheduled_for.desc(), run.c.id.desc())
    .limit(bindparam("g_limit"))
)


def alert_on_ends(tx: Transaction, ended: Sequence[RunEnded], task_ids: Collection[Id]) -> None:
    """Write the edges that ended runs cause, of those of the tasks in `task_ids`, which have rules.

    Runs of notifications cause none, so that two tasks that notify each other do not do so for ever.
    """
    ends: dict[Id, list[RunEnded]] = {}
    for each in ended:
        if each.task_id in task_ids and counts(each):
            ends.setdefault(each.task_id, []).append(each)
    if not ends:
        return
    subjects = lock_subjects(tx, ends)
    raised = _raised(tx, subjects)
    defaults = alerting_of(tx.connection).defaults
    edges: list[Edge] = []
    for id, of in subjects.items():
        rules = of.rules(defaults)
        edges += _of_task(of, rules, raised[id], ends[id])
        edges += _of_rate(tx, of, rules, raised[id], ends[id])
    write_edges(tx, edges)


def counts(ended: RunEnded) -> bool:
    """Guard: a notification that fails notifies nobody."""
    return ended.trigger != Trigger.NOTIFICATION


def _raised(tx: Transaction, subjects: Mapping[Id, Subject]) -> dict[Id, set[AlertKind]]:
    found: dict[Id, set[AlertKind]] = {id: set() for id in subjects}
    for task_id, kind in tx.connection.execute(_RAISED, {"g_ids": list(found)}):
        found[task_id].add(AlertKind(kind))
    return found


def _of_task(
    of: Subject, rules: Rules, raised: set[AlertKind], ends: Sequence[RunEnded]
) -> list[Edge]:
    """Return the edges of the ends of a task's runs, in their order: several may end in one commit."""
    edges: list[Edge] = []
    for each in ends:
        failures = of.consecutive_failures if each.failures is None else each.failures
        end = EndOfRun(status=each.status, reason=each.reason, failures=failures)
        made = changes(rules, raised, end)
        edges += [_edge(of, change, each, consecutive_failures=failures) for change in made]
        for kind, now in made:
            (raised.add if now else raised.discard)(kind)
    return edges


def _of_rate(
    tx: Transaction,
    of: Subject,
    rules: Rules,
    raised: set[AlertKind],
    ends: Sequence[RunEnded],
) -> list[Edge]:
    """Return the edge of a failure rate, if there is one: it is checked once, after all of the runs."""
    rate = None if rules.on_failure is None else rules.on_failure.rate
    is_raised = AlertKind.FAILURE_RATE in raised
    counted = {"succeeded", "failed"} if is_raised else {"failed"}
    executed = [each for each in ends if each.status in counted]
    if rate is None or not executed:
        return []
    rows = tx.connection.execute(_LATEST, {"g_task": of.id, "g_limit": rate.of}).scalars()
    latest = [status == RunStatus.FAILED for status in rows]
    changed = rate_change(rate, latest, raised=is_raised)
    if changed is None:
        return []
    now_raised, failed = changed
    change = Change(AlertKind.FAILURE_RATE, now_raised)
    return [_edge(of, change, executed[-1], failed=failed, of=len(latest))]


def _edge(task: Subject, change: Change, end: RunEnded, /, **details: Any) -> Edge:
    return Edge(
        task_id=task.id,
        kind=change.kind,
        raised=change.raised,
        run_id=end.run_id,
        details=details,
    )
