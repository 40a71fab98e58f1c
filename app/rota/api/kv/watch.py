"""The changes of the key-value table of a task, as server-sent events."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from rota.api.http.services import Services
from rota.api.http.streaming import sse
from rota.api.http.streaming.sse import EventStream, LastEvent
from rota.api.http.streaming.streams import Signal
from rota.api.kv.views import show_entry
from rota.domain.stream_positions import KvPosition, Watched, parse_kv_position, parse_watched
from rota.store.kv.changes import (
    AT_A_TIME,
    Changes,
    KvEvent,
    WatchedTable,
    changes_since,
    find_table,
    present_since,
)


@dataclass(slots=True)
class _Watch:
    """The keys that a client watches, and the position up to which it has received changes."""

    services: Services
    name: str
    watched: Watched
    at: KvPosition
    #: The keys that it has received, where removals are not recorded.
    keys: frozenset[str] | None
    #: It receives the present entries first, and after each reset.
    initial: bool
    #: It resumes after a break: it has received the present entries before.
    resumed: bool = False
    #: Why the changes since the event that it named are not known.
    gap: str | None = None


def watch(
    services: Services, name: str, patterns: Sequence[str], last_event: LastEvent, *, initial: bool
) -> Response:
    """Return the stream of changes after the last event, or from now on.

    Raises NotFound, Invalid or Unavailable.
    """
    watched, last = parse_watched(patterns), last_event.read(parse_kv_position)
    with services.database.read() as connection:
        table = find_table(connection, name, watched)
    made = _Watch(
        services=services,
        name=name,
        watched=watched,
        at=KvPosition(table.task_id, table.revision),
        keys=table.keys,
        initial=initial,
    )
    _resume(made, table, last)
    return EventStream(services.streams, _stream(made))


def _resume(made: _Watch, table: WatchedTable, last: KvPosition | None) -> None:
    """Resume after the position `last`, if all changes since then are known."""
    if last is None:
        return
    made.gap = _gap(table, last)
    if made.gap is None:
        made.at, made.resumed = last, True


def _gap(table: WatchedTable, last: KvPosition) -> str | None:
    """Return why the changes since a position are not known; None if they are."""
    if last.task_id != table.task_id:
        return "this is another task than the one whose event you name"
    if last.revision > table.revision:
        return "the table has not come as far as the event that you name"
    if _is_before(last, table.forgotten):
        return "the history of the table does not reach back to the event that you name"
    return None


def _is_before(at: KvPosition, forgotten: int) -> bool:
    """Return whether changes after a position are not known any more."""
    return (at.revision, at.key is None) < (forgotten, True)


async def _stream(watch: _Watch) -> AsyncGenerator[str, None]:
    """Yield what a client needs first, then changes, until the task is deleted or the service stops."""
    with watch.services.streams.subscribe(watch.at.task_id) as signal:
        # There is no id until all present entries are sent: after a break the client begins anew.
        begins = watch.initial and not watch.resumed
        yield sse.opening(None if begins else str(watch.at))
        if watch.gap is not None:
            yield _reset(watch, watch.gap)
        if begins:
            async for text in _present(watch):
                yield text
        async for text in _changes(watch, signal):
            yield text


async def _present(watch: _Watch) -> AsyncGenerator[str, None]:
    """Yield the present entries, in the order in which they were written, then `kv.ready`."""
    service = watch.services.streams
    until, after, more = watch.at, KvPosition(watch.at.task_id, 0), True
    while more:
        if service.closing:  # its client begins anew elsewhere
            return
        found = await service.read(
            present_since, after, watch.watched, watch.services.clock.now(), until.revision
        )
        for each in found:
            after = KvPosition(until.task_id, each.entry.version, each.entry.key)
            yield _event(watch, each, None)
        more = len(found) == AT_A_TIME
    data = {"task": watch.name, "revision": until.revision}
    yield sse.event("kv.ready", watch.services.clock.now(), data, str(until))


async def _changes(watch: _Watch, signal: Signal) -> AsyncGenerator[str, None]:
    service = watch.services.streams
    while not service.closing:
        signal.clear()
        found = await service.shared_read(signal, changes_since, watch.at, watch.watched)
        if found is None:
            data = {"task": watch.name, "id": watch.at.task_id}
            yield sse.event("task.deleted", watch.services.clock.now(), data)
            return
        if _is_lost(watch, found):
            async for text in _anew(watch, found):
                yield text
            continue
        for text in _texts(watch, found):
            yield text
        if not found.more and not await signal.wait(service.heartbeat):
            yield sse.heartbeat(str(watch.at))


def _is_lost(watch: _Watch, found: Changes) -> bool:
    """Return whether changes were forgotten before they were read here, and comparing keys cannot replace them."""
    tracked = watch.keys is not None and found.keys is not None
    return not tracked and _is_before(watch.at, found.forgotten)


async def _anew(watch: _Watch, found: Changes) -> AsyncGenerator[str, None]:
    """Begin again with the present table."""
    watch.at, watch.keys = KvPosition(watch.at.task_id, found.revision), found.keys
    yield _reset(watch, "the history of the table does not reach back to what you received last")
    if watch.initial:
        async for text in _present(watch):
            yield text


def _texts(watch: _Watch, found: Changes) -> Iterator[str]:
    """Yield changes as events; the id of the last one represents all changes up to the revision that was read."""
    gone = _gone(watch, found)
    until = None if found.more else KvPosition(watch.at.task_id, found.revision)
    for index, each in enumerate(found.events, 1):
        is_last = index == len(found.events) and not gone
        watch.at = KvPosition(watch.at.task_id, each.entry.version, each.entry.key)
        watch.at = until if is_last and until is not None else watch.at
        yield _event(watch, each, watch.at)
    for index, key in enumerate(gone, 1):
        yield _removal(watch, key, found.revision, until if index == len(gone) else None)
    watch.at = until or watch.at


def _gone(watch: _Watch, found: Changes) -> list[str]:
    """Return the keys whose removal was not recorded, once all changes have been read."""
    if found.keys is None or watch.keys is None:  # the history records removals, or did until now
        watch.keys = None if found.more else found.keys
        return []
    written = {each.entry.key for each in found.events if not each.removed}
    removed = {each.entry.key for each in found.events if each.removed}
    known = (watch.keys | written) - removed
    watch.keys = known if found.more else found.keys
    return [] if found.more else sorted(known - found.keys)


def _event(watch: _Watch, of: KvEvent, at: KvPosition | None) -> str:
    data: dict[str, Any] = {"task": watch.name} | show_entry(of.entry, with_value=not of.removed)
    if of.removed:
        data = {name: data[name] for name in ("task", "key", "version", "updated_at", "updated_by")}
    if of.skipped:
        data["skipped"] = True
    kind = "kv.deleted" if of.removed else "kv.set"
    return sse.event(kind, of.entry.updated_at, data, _id(at))


def _removal(watch: _Watch, key: str, revision: int, at: KvPosition | None) -> str:
    data = {
        "task": watch.name,
        "key": key,
        "version": revision,
        "updated_at": None,
        "updated_by": None,
    }
    return sse.event("kv.deleted", watch.services.clock.now(), data, _id(at))


def _reset(watch: _Watch, reason: str) -> str:
    data = {"task": watch.name, "revision": watch.at.revision, "reason": reason}
    # Without an id if entries follow, so that the client does not resume before it has received them.
    at = None if watch.initial else watch.at
    return sse.event("kv.reset", watch.services.clock.now(), data, _id(at))


def _id(at: KvPosition | None) -> str | None:
    return None if at is None else str(at)
