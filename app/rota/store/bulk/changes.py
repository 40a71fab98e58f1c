"""Bulk operations: stored as a preview or at once, confirmed, cancelled, and removed when they are old."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, delete, insert, or_, select, update

from rota.db.command import Command, StaleError, Transaction
from rota.db.tables import bulk, bulk_item
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.access.quotas import Quota
from rota.domain.bulk.model import Bulk, BulkStatus, Request, Selection
from rota.domain.effects import BulkChanged
from rota.domain.primitives.ids import Id, new_id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.times.instants import format_instant
from rota.errors import Conflict
from rota.store.bulk.rows import find_bulk, write_limit, write_quota
from rota.store.bulk.selection import store_selection

#: How long a preview can be confirmed.
CONFIRMABLE_FOR = timedelta(hours=1)
#: How long an operation is kept after it was made; one that continues is kept.
KEPT_FOR = timedelta(days=30)
#: How many previews of one client are kept.
MOST_PREVIEWS = 100
#: How long a preview is kept once it is too late to confirm it.
PREVIEWS_KEPT_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginBulk(Command[Bulk]):
    """Store a bulk operation: a preview, or one that is executed at once (`confirmed`), within a quota.

    Of the previews of one client MOST_PREVIEWS are kept: the oldest ones are removed.
    """

    request: Request
    selection: Selection
    by: str
    confirmed: bool
    quota: Quota | None = None

    def apply(self, tx: Transaction) -> Bulk:
        id = new_id(tx.now)
        tx.connection.execute(insert(bulk), self._row(id, tx.now))
        store_selection(tx.connection, id, self.selection)
        if self.confirmed:
            tx.effects.append(BulkChanged(id))
        else:
            _remove_surplus(tx, self.by)
        return find_bulk(tx.connection, id)

    def _row(self, id: Id, now: datetime) -> dict[str, object]:
        request, selection = self.request, self.selection
        return {
            "id": id,
            "verb": request.verb,
            "selector": request.selector.model_dump_json(exclude_defaults=True),
            "prefixes": write_limit(request.limit),
            "input": request.input,
            "max_concurrent": request.max_concurrent,
            "traceparent": request.traceparent,
            "runs": len(selection.run_ids),
            "truncated": selection.truncated,
            "position": 0,
            "statuses": json_text.dumps(dict(selection.statuses)),
            "foreseen": json_text.dumps([asdict(each) for each in selection.foreseen]),
            "created_at": now,
            "created_by": self.by,
            "expires_at": now + CONFIRMABLE_FOR,
            "status": BulkStatus.PREVIEWED,
            **(self._confirmation(now) if self.confirmed else {}),
        }

    def _confirmation(self, now: datetime) -> dict[str, object]:
        return confirmation(self.by, now, self.quota, len(self.selection.run_ids))


def _remove_surplus(tx: Transaction, by: str) -> None:
    """Remove the oldest previews of a client beyond MOST_PREVIEWS."""
    previews = select(bulk.c.id).where(
        bulk.c.created_at > tx.now - CONFIRMABLE_FOR - PREVIEWS_KEPT_FOR,  # for the index
        bulk.c.status == BulkStatus.PREVIEWED,
        bulk.c.created_by == by,
    )
    newest_first = previews.order_by(bulk.c.created_at.desc(), bulk.c.id.desc())
    surplus = tx.connection.execute(newest_first.offset(MOST_PREVIEWS)).scalars().all()
    if surplus:
        still = (bulk.c.id.in_(surplus), bulk.c.status == BulkStatus.PREVIEWED)
        tx.connection.execute(delete(bulk).where(*still))


def confirmation(by: str, now: datetime, quota: Quota | None, runs: int) -> dict[str, object]:
    """Return the columns of an operation that is confirmed; one without runs has finished with that."""
    return {
        "status": BulkStatus.RUNNING if runs else BulkStatus.FINISHED,
        "quota": write_quota(quota),
        "confirmed_at": now,
        "confirmed_by": by,
        "finished_at": None if runs else now,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """An operation that is confirmed or cancelled, and whether it was not before."""

    bulk: Bulk
    now: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmBulk(Command[Changed]):
    """Have a preview executed; once it is, this changes nothing. Raises NotFound, Conflict if it is too late."""

    id: Id
    by: str
    limit: NameLimit = UNLIMITED
    quota: Quota | None = None

    def apply(self, tx: Transaction) -> Changed:
        found = find_bulk(tx.connection, self.id, self.limit, lock=True)
        if found.status in {BulkStatus.RUNNING, BulkStatus.FINISHED}:
            return Changed(bulk=found, now=False)
        _check_confirmable(found, tx.now)
        columns = confirmation(self.by, tx.now, self.quota, found.runs)
        _change(tx, found, columns)
        return Changed(bulk=find_bulk(tx.connection, self.id), now=True)


def _check_confirmable(found: Bulk, now: datetime) -> None:
    if found.status is BulkStatus.CANCELLED:
        why = "was cancelled"
    elif found.expires_at <= now:
        why = f"could be confirmed until {format_instant(found.expires_at)}"
    else:
        return
    raise Conflict(
        f"Bulk operation {found.id} {why}; make a new preview.",
        slug="wrong-status",
        present={"bulk": {"id": found.id, "status": found.status}},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelBulk(Command[Changed]):
    """Leave the runs alone that have no result yet. Raises NotFound, Conflict if all have theirs."""

    id: Id
    limit: NameLimit = UNLIMITED

    def apply(self, tx: Transaction) -> Changed:
        found = find_bulk(tx.connection, self.id, self.limit, lock=True)
        if found.status is BulkStatus.FINISHED:
            raise Conflict(
                f"Bulk operation {found.id} has finished already.",
                slug="wrong-status",
                present={"bulk": {"id": found.id, "status": found.status}},
            )
        if found.status is BulkStatus.CANCELLED:
            return Changed(bulk=found, now=False)
        _change(tx, found, {"status": BulkStatus.CANCELLED, "finished_at": tx.now})
        return Changed(bulk=find_bulk(tx.connection, self.id), now=True)


def _change(tx: Transaction, found: Bulk, columns: dict[str, object]) -> None:
    same = (bulk.c.id == found.id, bulk.c.status == found.status)
    if tx.connection.execute(update(bulk).where(*same).values(columns)).rowcount != 1:
        raise StaleError("a bulk operation was changed by another replica")
    tx.effects.append(BulkChanged(found.id))


@dataclass(frozen=True, slots=True)
class RemoveOldBulks(Command[int]):
    """Remove up to `limit` items of an old operation, or itself if it has none; return how many rows.

    Previews are kept for a day after they could be confirmed last.
    """

    limit: int

    def apply(self, tx: Transaction) -> int:
        ended = bulk.c.status.in_((BulkStatus.FINISHED, BulkStatus.CANCELLED))
        old = or_(
            and_(ended, bulk.c.created_at <= tx.now - KEPT_FOR),
            and_(
                bulk.c.status == BulkStatus.PREVIEWED,
                bulk.c.expires_at <= tx.now - PREVIEWS_KEPT_FOR,
            ),
        )
        before = bulk.c.created_at <= tx.now - PREVIEWS_KEPT_FOR  # for the index
        oldest = select(bulk.c.id).where(before, old).order_by(bulk.c.created_at).limit(1)
        id = tx.connection.execute(oldest).scalar_one_or_none()
        return 0 if id is None else self._remove(tx, id)

    def _remove(self, tx: Transaction, id: Id) -> int:
        some = (
            select(bulk_item.c.position)
            .where(bulk_item.c.bulk_id == id)
            .order_by(bulk_item.c.position)
            .limit(self.limit)
        )
        positions = tx.connection.execute(some).scalars().all()
        if not positions:
            return tx.connection.execute(delete(bulk).where(bulk.c.id == id)).rowcount
        these = (bulk_item.c.bulk_id == id, bulk_item.c.position <= positions[-1])
        return tx.connection.execute(delete(bulk_item).where(*these)).rowcount
