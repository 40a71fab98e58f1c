"""The draft of changes that a run makes to a key-value table."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rota.domain.kv.entries import Change, CheckFailed, KvChange, KvSnapshot, check_key, encode_as
from rota.domain.kv.operations import Check, Commuting, OperationFailed, execute
from rota.domain.kv.present import JSON_TYPE, Present
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.names import VERSION_KEY, key_fault
from rota.errors import Invalid


class KvDraft:
    """A run's view of a task's table: a snapshot and its own writes, which commit with its success or not at all."""

    def __init__(self, limit: int, revision: int | None = None) -> None:
        """`limit` is how many bytes a value may have, `revision` that of writes before anything was read."""
        self._limit = limit
        self._before = revision
        self._held = False
        self._snapshot: KvSnapshot | None = None
        # The revision at which the snapshot was read; that of the snapshot itself is what writes go by.
        self._read_at = 0
        # What the run sees of the keys that it wrote, and what its commit is to do to them.
        self._seen: dict[str, Present | None] = {}
        self._changes: dict[str, KvChange | list[Commuting | Check]] = {}

    @property
    def limit(self) -> int:
        """How many bytes a value may have."""
        return self._limit

    @property
    def loaded(self) -> bool:
        return self._snapshot is not None

    @property
    def revision(self) -> int | None:
        """The revision of the snapshot; if nothing was read, the one that was given."""
        return self._before if self._snapshot is None else self._snapshot.revision

    @property
    def changes(self) -> tuple[Change, ...]:
        known: Mapping[str, bytes] = {} if self._snapshot is None else self._snapshot.entries
        made: list[Change] = []
        for key, change in self._changes.items():
            if isinstance(change, KvChange):
                made.append(self._as_left(change, there=key in known))
            else:
                made.extend(change)
        return tuple(made)

    def begin_anew(self, revision: int | None) -> None:
        """Continue after a commit that made `revision`: nothing is written yet, and reads need a new snapshot."""
        self._before, self._snapshot = revision, None
        self._seen, self._changes = {}, {}

    def load(self, snapshot: KvSnapshot) -> None:
        """Take the snapshot that reads see; a second one is ignored, so that reads stay consistent."""
        if self._snapshot is None:
            since = self._before if self._held else None
            known = snapshot.revision if since is None else min(since, snapshot.revision)
            self._read_at = snapshot.revision
            self._snapshot = replace(snapshot, revision=known)

    def hold(self) -> None:
        """Have writes conflict with all that came since the revision that was given, whenever the snapshot is read."""
        self._held = True

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key` (bytes if it is not JSON), this run's own write first, else `default`."""
        present = self._present(key)
        if present is None:
            return default
        return (
            json_text.loads(present.value) if present.content_type == JSON_TYPE else present.value
        )

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those of the keys that are there."""
        return {key: self.get(key) for key in keys if self._present(key) is not None}

    def version(self, key: str) -> int | None:
        """Return the version of an entry; None if it is not there, or this run has written it."""
        return None if key in self._seen else self._loaded.versions.get(key)

    def keys(self, prefix: str = "", start: str = "", end: str = "") -> list[str]:
        """Return the keys that begin with `prefix`, from `start` on, before `end`, in order; own writes included."""
        found = self._loaded.entries.keys() | self._seen.keys()
        from_start = (key for key in found if key.startswith(prefix) and key >= start)
        inside = (key for key in from_start if not end or key < end)
        return sorted(key for key in inside if self._present(key) is not None)

    def items(self, prefix: str = "", start: str = "", end: str = "") -> Iterator[tuple[str, Any]]:
        """Yield (key, value) of these keys, in their order."""
        for key in self.keys(prefix, start, end):
            yield key, self.get(key)

    def set(
        self,
        key: str,
        value: Any,
        ttl: timedelta | None = None,
        content_type: str = JSON_TYPE,
    ) -> None:
        """Write any JSON value, or bytes of another type; raises Invalid, NotJson or TooLarge here, not at the end."""
        check_key(key)
        encoded = encode_as(content_type, key, value, self._limit)
        self._change(KvChange(key, encoded, ttl, content_type=content_type))

    def set_shape(self, version: int) -> None:
        """Note which shape the entries have from this run's commit on: a run that notes it, too, meets a conflict."""
        self._change(KvChange(VERSION_KEY, str(version).encode()))

    def set_once(
        self, key: str, value: Any, ttl: timedelta | None = None, content_type: str = JSON_TYPE
    ) -> bool:
        """Write a value if there is none; return whether it was written."""
        if self._present(key) is not None:
            return False
        self.set(key, value, ttl, content_type)
        return True

    def expire(self, key: str, ttl: timedelta | None) -> None:
        """Have the entry expire `ttl` after the commit (None: never). Raises Invalid if there is none."""
        check_key(key)
        present = self._present(key)
        if present is None:
            raise Invalid(f"{key!r} cannot expire: there is no such entry.")
        # With the value that is there in the end: `_as_left`.
        self._changes[key] = KvChange(key, b"", ttl, content_type=present.content_type)
        self._seen[key] = present.until(None)

    def delete(self, key: str) -> None:
        """Remove `key`; nothing happens if it is not there."""
        check_key(key)
        self._change(KvChange(key, None))

    def delete_prefix(self, prefix: str) -> int:
        """Remove the entries whose keys begin with `prefix`, Rota's own apart; return how many."""
        if not prefix:
            raise Invalid("Give the beginning of the keys that are to be removed.")
        keys = [key for key in self.keys(prefix) if key_fault(key) is None]
        for key in keys:
            self.delete(key)
        return len(keys)

    def check(self, check: Check) -> None:
        """Raise CheckFailed unless the entry is so; that it still is so is checked again in the commit."""
        key = check.key
        check_key(key)
        if check.version is not None and key in self._seen:
            raise CheckFailed(f"{key!r} was written by this run: it has no version yet.")
        try:
            execute(check, self._present(key), _ANY_TIME, self._limit)
        except OperationFailed as error:
            failed = CheckFailed(f"{key!r} is not as it should be: {error.detail}.")
            failed.changed = self._may_have_changed(key)
            raise failed from None
        own = self._changes.setdefault(key, [])
        # A key that is written is checked anyway.
        if not isinstance(own, KvChange):
            own.append(check)

    def commute(self, operation: Commuting) -> None:
        """Do what meets no conflict. Raises Invalid if the entry forbids it."""
        key = operation.key
        check_key(key)
        try:
            after = execute(operation, self._present(key), _ANY_TIME, self._limit)
        except OperationFailed as error:
            name = operation.op
            raise Invalid(f"{name} of {key!r} is not possible: {error.detail}.") from None
        own = self._changes.setdefault(key, [])
        # What the run has written itself is written as it is in the end.
        if not isinstance(own, KvChange):
            own.append(operation)
        self._seen[key] = after

    def _as_left(self, change: KvChange, *, there: bool) -> KvChange:
        """Return a change with the value that the run sees in the end; `there`: its snapshot had the key."""
        seen = self._seen[change.key]
        if seen is not None and seen.value != change.value:
            return replace(change, value=seen.value, content_type=seen.content_type, replaces=there)
        return change if change.replaces is there else replace(change, replaces=there)

    def _may_have_changed(self, key: str) -> bool:
        """Return whether another writer may have written or removed an entry since the revision of the draft."""
        if key in self._seen:
            return False
        version = self._loaded.versions.get(key)
        if (
            version is None
        ):  # removed, if anything was written since: a removed entry has no version
            return self._read_at > self._loaded.revision
        return version > self._loaded.revision

    def _change(self, change: KvChange) -> None:
        self._changes[change.key] = change
        present = None if change.value is None else Present(change.value, change.content_type)
        self._seen[change.key] = present

    def _present(self, key: str) -> Present | None:
        if key in self._seen:
            return self._seen[key]
        snapshot = self._loaded
        value = snapshot.entries.get(key)
        if value is None:
            return None
        kind = snapshot.types.get(key, JSON_TYPE)
        return Present(value, kind, version=snapshot.versions.get(key))

    @property
    def _loaded(self) -> KvSnapshot:
        if self._snapshot is None:
            raise RuntimeError("the snapshot has not been loaded")
        return self._snapshot


# What commutes does not look at the clock.
_ANY_TIME = datetime.max.replace(tzinfo=UTC)
