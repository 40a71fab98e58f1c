"""The stored API keys in the memory of one process, so that no request reads the database for its authentication.

On SQLite only this process changes them. On PostgreSQL other replicas do, and the command line: while requests come, or
stay open, one short read every half second notices that. While the database does not answer, the keys stay as they
were: what a key may see or change is in the same database.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import structlog

from rota.api.http.clients.open_requests import OpenRequest, OpenRequests
from rota.clock import Clock
from rota.db.engine import Database
from rota.db.reader import Reader
from rota.db.writer import Writer
from rota.domain.access.keys import ApiKey, KeyId
from rota.domain.access.stored_key import Proof, StoredKey, prove
from rota.errors import AppError, Unavailable
from rota.store.access.changes import USE_EVERY, NoteUses
from rota.store.access.reading import keys_if_changed

log = structlog.get_logger(__name__)

_LOOK_EVERY = 0.5
#: A request waits for a read if the last one is older.
_FRESH = 1.0
#: After so many seconds without requests nothing is read any more.
_IDLE_AFTER = 5.0
#: For how long after its revocation a client is informed of it.
_TELL_FOR = timedelta(days=30)
_NEVER = datetime.min.replace(tzinfo=UTC)


class StoredKeys:
    """The keys, and the open requests that were made with them. Used on the loop of the requests only."""

    def __init__(self, clock: Clock) -> None:
        #: Whether there are keys that are not revoked. An expired one counts, so that no access opens by itself.
        self.are_there = False
        self._clock = clock
        self._keys: Mapping[KeyId, StoredKey] = {}
        self._mark: int | None = None
        self._read_at = 0.0
        self._used_at = 0.0
        self._failing = False
        self._open = OpenRequests()
        self._uses: dict[KeyId, datetime] = {}
        self._stored_uses: dict[KeyId, datetime] = {}
        self._watcher: asyncio.Task[None] | None = None
        self._storing: asyncio.Task[None] | None = None

    async def start(self, database: Database, reader: Reader, writer: Writer) -> None:
        """Read the keys for the first time; raises Unavailable."""
        self._is_shared = not database.is_sqlite
        self._reader, self._writer = reader, writer
        self._lock = asyncio.Lock()
        await self._read(self._clock.monotonic())
        if self._failing:
            raise Unavailable("The stored keys cannot be read.")

    def close(self) -> None:
        """Read and write nothing any more."""
        for task in (self._watcher, self._storing):
            if task is not None:
                task.cancel()

    def prove(self, given: ApiKey) -> Proof | None:
        """Return the proof that a client has a key, accepted or not; None for an unknown key."""
        return prove(self._keys.get(given.id), given.digest)

    def resume(self, id: KeyId, digest: bytes) -> Proof | None:
        """Return the proof of a key that a session was begun with; None for an unknown key."""
        return prove(self._keys.get(id), digest)

    def fault(self, proof: Proof) -> str | None:
        """Return why a key is not accepted now, as a sentence to its holder; None if it is."""
        return proof.fault(self._clock.now())

    def use(self, proof: Proof) -> None:
        """Note that a key is used now; it is stored later, at most once a minute."""
        self._uses[proof.key.id] = self._clock.now()

    def opened(self, proof: Proof | None) -> contextlib.AbstractContextManager[OpenRequest]:
        """Count the request of the present task as open: its task is cancelled when its key is accepted no more.

        `proof`: None for a request that needs no key as long as there are none.
        """
        return self._open.opened(proof)

    async def be_current(self) -> None:
        """Let the keys be those of at most a second ago, if the database answers."""
        now = self._used_at = self._clock.monotonic()
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch(), name="rota-keys")
        if self._is_shared and not self._failing and now - self._read_at > _FRESH:
            await self._read(now)

    async def changed(self) -> None:
        """Take over a change of this process, which is committed, at once."""
        await self._read(self._clock.monotonic())
        self._end_refused()

    async def _watch(self) -> None:
        while self._is_in_use():
            await asyncio.sleep(_LOOK_EVERY)
            try:
                if self._is_shared or self._failing:
                    await self._read(self._clock.monotonic())
                self._end_refused()
                self._store_uses()
            except Exception:
                log.exception("keys.watch_failed")
        self._watcher = None

    def _end_refused(self) -> None:
        self._open.end_refused(self._keys, self._clock.now(), needs_key=self.are_there)

    def _is_in_use(self) -> bool:
        idle = self._clock.monotonic() - self._used_at
        return bool(self._open or self._uses) or idle < _IDLE_AFTER

    async def _read(self, asked_at: float) -> None:
        """Read the keys, unless that was begun since `asked_at`, by which the caller knows of what is committed."""
        async with self._lock:
            if self._read_at > asked_at:
                return
            begun_at = self._clock.monotonic()
            revoked_since = self._clock.now() - _TELL_FOR
            try:
                found = await self._reader.run(keys_if_changed, self._mark, revoked_since)
            except Unavailable as error:
                if not self._failing:
                    log.warning("keys.unavailable", error=error.detail)
                self._failing = True
                return
            self._failing, self._read_at = False, begun_at
            if found is not None:
                self._mark, self._keys = found.mark, found.keys
                self.are_there = any(key.revoked_at is None for key in found.keys.values())

    def _store_uses(self) -> None:
        """Begin to store the uses that are due; the watch does not wait for the writer."""
        if self._storing is not None:
            return
        due = dict(self._due_uses())
        if due:
            self._storing = asyncio.create_task(self._store(due), name="rota-key-uses")

    def _due_uses(self) -> Iterator[tuple[KeyId, datetime]]:
        for id, at in self._uses.items():
            key = self._keys.get(id)
            stored = self._stored_uses.get(id) or (key and key.last_used_at) or _NEVER
            if at - stored >= USE_EVERY:
                yield id, at

    async def _store(self, due: Mapping[KeyId, datetime]) -> None:
        try:
            await self._writer.run(NoteUses(due))
            self._stored_uses.update(due)
            for id, at in due.items():
                if self._uses[id] == at:
                    del self._uses[id]
        except AppError as error:
            log.info("keys.uses_not_stored", error=error.detail)
        finally:
            self._storing = None
