"""The writes of a bulk verb, one after another, and their results together."""

from collections.abc import AsyncIterator
from typing import Any

from starlette.concurrency import run_in_threadpool

from rota.api.http.responses import reply
from rota.api.http.services import Services
from rota.api.tasks.bulk.models import REFUSALS_SHOWN, BulkOut, RefusedOut, SelectedIn
from rota.domain.access.names import NameLimit
from rota.domain.primitives.json import json_text
from rota.store.idempotency import Reply
from rota.store.task_rows import TaskFilter
from rota.store.tasks.bulk import SELECTED_TOGETHER, Ahead, Batch, DoEach, select_ahead
from rota.store.tasks.bulk_verbs import Refused, Verb


def _select(services: Services, wanted: TaskFilter, after: str) -> Ahead:
    """Return the next tasks that a filter matches: found before the writes, so that the writer need not wait for it."""
    with services.database.read() as connection:
        return select_ahead(connection, wanted, after, SELECTED_TOGETHER)


class Tally:
    """The results of the writes of a request so far."""

    def __init__(self) -> None:
        self.batches = 0
        self._matched = 0
        self._changed = 0
        self._refused: list[Refused] = []
        self._last: str | None = ""
        self._ahead = Ahead()

    async def commands(
        self, services: Services, verb: Verb, body: SelectedIn, limit: NameLimit
    ) -> AsyncIterator[DoEach]:
        """Yield one write after another, each for the tasks after the previous one; call `add` in between.

        `limit`: the tasks that the client may see; a selector matches no others.
        """
        wanted = TaskFilter(
            tag=body.selector.tags,
            all_tags=body.selector.all_tags,
            handler=body.selector.handler,
            queue=body.selector.queue,
            name_prefix=body.selector.name_prefix,
            status=body.selector.status,
            limit=limit,
        )
        while self._last is not None:
            if not self._ahead.tasks:
                self._ahead = await run_in_threadpool(_select, services, wanted, self._last)
            yield DoEach(
                verb=verb,
                wanted=wanted,
                after=self._last,
                ahead=self._ahead,
                dry_run=body.dry_run,
            )

    def add(self, batch: Batch) -> None:
        self.batches += 1
        self._matched += batch.matched
        self._changed += batch.changed
        self._refused.extend(batch.refused[: REFUSALS_SHOWN - len(self._refused)])
        self._last, self._ahead = batch.last, batch.ahead

    def reply(self) -> Reply:
        refused: list[RefusedOut] = [
            {"task": each.task, "type": f"/problems/{each.slug}", "detail": each.detail}
            for each in self._refused
        ]
        shown = BulkOut(
            matched=self._matched,
            changed=self._changed,
            unchanged=self._matched - self._changed,
            refused=refused,
        )
        return reply(200, shown)


def render_batch(batch: Batch) -> Reply:
    """Return what is stored of a write for an Idempotency-Key."""
    refused = [[each.task, each.slug, each.detail] for each in batch.refused[:REFUSALS_SHOWN]]
    content = {
        "matched": batch.matched,
        "changed": batch.changed,
        "refused": refused,
        "last": batch.last,
    }
    return reply(200, content)


def parse_batch(stored: Reply) -> Batch:
    """Return the write of which that is stored."""
    content: dict[str, Any] = json_text.loads(stored.body)
    return Batch(
        matched=content["matched"],
        changed=content["changed"],
        refused=tuple(Refused(*each) for each in content["refused"]),
        last=content["last"],
    )
