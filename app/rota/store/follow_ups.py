"""What follows when runs end, in the commit in which they do."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, exists, or_, select, update

from rota.db.tables import predecessor, task
from rota.db.types import is_one_of, spelled_out
from rota.db.writer import Transaction
from rota.domain.effects import DueSooner, RunEnded, TaskChanged, TaskEvent
from rota.domain.schedules.definitions import Unreadable
from rota.domain.schedules.fire_times import Anchor, after_finish
from rota.domain.tasks.definition import TaskStatus
from rota.store.chains import propagation
from rota.store.runs import overlap
from rota.store.runs.concurrency_keys import promote
from rota.store.task_rows import read_definition

# How many times in a row runs may end because others have: a chain that is told down is bounded where it is registered.
MOST_ROUNDS = 1_000

_FIRES_AFTER_FINISH = and_(
    task.c.fires_after_finish,
    task.c.next_fire_at.is_(None),
    task.c.status.in_([spelled_out(TaskStatus.ACTIVE), spelled_out(TaskStatus.PAUSED)]),
)
_IS_NAMED = and_(
    exists().where(predecessor.c.name == task.c.name),
    task.c.deleted_at.is_(None),
)
# One look at the tasks whose runs have ended: nearly always there is nothing that waits for them.
_CONCERNED = select(
    task.c.id,
    task.c.name,
    task.c.definition,
    task.c.anchored_at,
    _FIRES_AFTER_FINISH.label("fires"),
    _IS_NAMED.label("is_named"),
).where(
    is_one_of(task.c.id, "g_ids"),
    or_(_FIRES_AFTER_FINISH, _IS_NAMED),
)


def follow(tx: Transaction, mark: int) -> None:
    """Do what follows from the runs that ended since the effect number `mark` of this transaction.

    The next run in line of each task goes on, as do those that wait for the same concurrency key, and a schedule that
    counts from the end of a run (`fixed_delay`) gets its next fire time. Tasks that come after them hear of it, which
    may end further runs: what follows from those is done, too.
    """
    for _ in range(MOST_ROUNDS):
        ended = [effect for effect in tx.effects[mark:] if isinstance(effect, RunEnded)]
        if not ended:
            return
        mark = len(tx.effects)
        _follow(tx, ended)


def _follow(tx: Transaction, ended: Sequence[RunEnded]) -> None:
    tasks = {effect.task_id for effect in ended}
    overlap.release(tx, tasks)
    promote(tx, {effect.concurrency_key for effect in ended if effect.concurrency_key is not None})
    concerned = tx.connection.execute(_CONCERNED, {"g_ids": list(tasks)}).all()
    _fire_after_finish(tx, [row for row in concerned if row.fires])
    propagation.feed(tx, ended, {row.id: row.name for row in concerned if row.is_named})


def _fire_after_finish(tx: Transaction, rows: Sequence[Row[Any]]) -> None:
    for row in rows:
        schedule = read_definition(row.definition).schedule
        # One that cannot be read is not over: it is due, and the firing pass pauses it as unplannable.
        readable = not isinstance(schedule, Unreadable)
        anchor = Anchor(row.anchored_at, row.name)
        following = after_finish(schedule, anchor, tx.now) if readable else tx.now
        armed = tx.connection.execute(
            update(task)
            .where(task.c.id == row.id, task.c.next_fire_at.is_(None))
            .values(_completed(tx.now) if following is None else _fires_at(following))
        )
        # Whoever has set a time meanwhile (a patch, the run itself) wins.
        if armed.rowcount:
            over = TaskChanged(row.id, TaskEvent.COMPLETED, "rota")
            tx.effects.append(over if following is None else DueSooner(following))


def _fires_at(following: datetime) -> dict[str, Any]:
    return {"next_fire_at": following, "overrides_at": None, "moved_to_at": None}


def _completed(now: datetime) -> dict[str, Any]:
    return {
        "status": TaskStatus.COMPLETED,
        "status_reason": None,
        "status_changed_at": now,
        "status_changed_by": "rota",
    }
