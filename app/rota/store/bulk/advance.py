"""One write of a bulk operation: what is done to some runs, and the result of each, in one commit.

So each run gets its result once, whatever crashes: where an operation continues is its `position`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from sqlalchemy import Connection, func, insert, select, text, update

from rota.db.bulk import Bulk as Many
from rota.db.command import Command, StaleError, Transaction
from rota.db.tables import bulk, bulk_item, run, task
from rota.db.types import among
from rota.domain.bulk.model import Bulk, BulkStatus, BulkVerb, Refusal
from rota.domain.effects import BulkChanged
from rota.domain.primitives.ids import Id
from rota.store.access.quotas import used
from rota.store.access.reading import why_not_accepted
from rota.store.bulk.batch import PresentRun, Verdicts, judge, read_runs, task_ids
from rota.store.bulk.endings import cancel, delete_runs
from rota.store.bulk.reruns import Unfit, rerun
from rota.store.bulk.selection import Selected, read_selection
from rota.store.completion.task_locks import lock_with_successors
from rota.store.task_locks import lock_tasks

# Tried and never waited for: another replica that executes the operation continues with it.
_ONE_AT_A_TIME = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
_INSERT = Many(insert(bulk_item), [column.name for column in bulk_item.columns], apart=True)


class Advanced(NamedTuple):
    """How many runs got their result, and whether the operation cannot continue for now."""

    runs: int
    stalled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvanceBulk(Command[Advanced]):
    """Execute the verb for up to `limit` runs of an operation, from its position on.

    `read` is the operation as it was read. If it was continued or cancelled since, nothing is done. `failed`: the next
    run is not touched, and gets this as its result, since it could not be dealt with.

    If the key that had it executed is not accepted any more, the operation ends here.
    """

    # Its caller tries again, and continues others meanwhile.
    patient = False

    read: Bulk
    limit: int
    unfit: Unfit = field(default_factory=dict)
    failed: Refusal | None = None

    def apply(self, tx: Transaction) -> Advanced:
        if not self._is_ours(tx):
            return Advanced(0, stalled=True)
        why = why_not_accepted(tx.connection, self.read.confirmed_by or "", tx.now)
        if why is not None:
            self._end(tx, why)
            return Advanced(0, stalled=True)
        selected = read_selection(tx.connection, self.read.id, self.read.position, self.limit)
        verdicts = Verdicts()
        # Counted before any row is locked: who waits for the same count may need these rows.
        counted = 0 if self.read.quota is None else used(tx, self.read.quota)
        found = self._lock(tx, selected)
        seen = self._execute(tx, selected, found, verdicts, counted)
        if seen:
            self._store(tx, selected[:seen], found, verdicts)
        return Advanced(seen, stalled=seen < len(selected))

    def _is_ours(self, tx: Transaction) -> bool:
        if not tx.is_sqlite:
            name = {"name": f"rota:bulk:{self.read.id}"}
            if not tx.connection.execute(_ONE_AT_A_TIME, name).scalar_one():
                return False
        # Read after the lock: who held it before has committed.
        row = tx.connection.execute(
            select(bulk.c.status, bulk.c.position).where(bulk.c.id == self.read.id)
        ).one_or_none()
        return row is not None and tuple(row) == (BulkStatus.RUNNING, self.read.position)

    def _lock(self, tx: Transaction, selected: Sequence[Selected]) -> dict[Id, PresentRun]:
        """Lock the tasks of the runs, and those that are notified of the ends of runs; return the runs."""
        match self.read.request.verb:
            case BulkVerb.CANCEL:
                lock_with_successors(tx, task_ids(tx.connection, selected))
            case BulkVerb.DELETE:
                lock_tasks(tx.connection, among(task.c.id, task_ids(tx.connection, selected)))
            case BulkVerb.RERUN:  # it locks them itself, with what it needs of them
                pass
            case _:
                assert_never(self.read.request.verb)
        return read_runs(tx.connection, self.read, selected)

    def _execute(
        self,
        tx: Transaction,
        selected: Sequence[Selected],
        found: Mapping[Id, PresentRun],
        verdicts: Verdicts,
        counted: int,
    ) -> int:
        """Execute the verb; return for how many runs there was room. `counted`: what counts towards the quota."""
        if self.failed is not None:
            verdicts.refuse(selected[0].run_id, self.failed)
            return 1
        accepted = judge(self.read, selected, found, verdicts)
        match self.read.request.verb:
            case BulkVerb.RERUN:
                seen = rerun(tx, self.read, accepted, self.unfit, counted, verdicts)
                if seen < len(accepted):
                    stopped_at = accepted[seen].id
                    return next(
                        index for index, each in enumerate(selected) if each.run_id == stopped_at
                    )
            case BulkVerb.CANCEL:
                cancel(tx, accepted, verdicts)
            case BulkVerb.DELETE:
                delete_runs(tx, accepted, self.read.request.limit, verdicts)
            case _:
                assert_never(self.read.request.verb)
        return len(selected)

    def _store(
        self,
        tx: Transaction,
        selected: Sequence[Selected],
        found: Mapping[Id, PresentRun],
        verdicts: Verdicts,
    ) -> None:
        items = [
            verdicts.item(each, found[each.run_id].task if each.run_id in found else None)
            for each in selected
        ]
        _INSERT.execute(
            tx.connection, [{"bulk_id": self.read.id, **each._asdict()} for each in items]
        )
        self._move(tx, self.read.position + len(items))
        tx.effects.append(BulkChanged(self.read.id))

    def _end(self, tx: Transaction, why: str) -> None:
        """Leave the runs alone that have no result yet."""
        ended = {"status": BulkStatus.CANCELLED, "finished_at": tx.now, "reason": why}
        self._update(tx, ended)
        tx.effects.append(BulkChanged(self.read.id))

    def _move(self, tx: Transaction, position: int) -> None:
        finished = position == self.read.runs
        columns: dict[str, object] = {"position": position}
        if finished:
            columns |= {"status": BulkStatus.FINISHED, "finished_at": tx.now}
        self._update(tx, columns)

    def _update(self, tx: Transaction, columns: Mapping[str, object]) -> None:
        same = (
            bulk.c.id == self.read.id,
            bulk.c.status == BulkStatus.RUNNING,
            bulk.c.position == self.read.position,
        )
        if tx.connection.execute(update(bulk).where(*same).values(dict(columns))).rowcount != 1:
            raise StaleError("a bulk operation was continued by another replica")


class Unfinished(NamedTuple):
    """How many runs that an operation has made are unfinished, from a position on; the first of these."""

    runs: int
    first: int | None


def unfinished_runs(connection: Connection, bulk_id: Id, after: int) -> Unfinished:
    """Return how many runs that an operation has made for items from the position `after` on are unfinished."""
    counted = (
        select(func.count(), func.min(bulk_item.c.position))
        .join(run, run.c.id == bulk_item.c.new_run_id)
        .where(bulk_item.c.bulk_id == bulk_id, bulk_item.c.position >= after)
        .where(run.c.finished_at.is_(None))
    )
    return Unfinished._make(connection.execute(counted).one())
