"""The key-value table of the run's task, as far as the call carries it, and what the outcome writes to it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rota.client.entries.draft import KvDraft, Operation, Ttl
from rota.client.wire import UNSET
from rota.sdk.exceptions import Fail


class NotSent(Fail, LookupError):
    """An entry was read that the call does not carry. It fails the run: another attempt would not have it either."""


class CallKv:
    """Reads see what the call has brought and the writes so far; writes commit with the success of the run."""

    def __init__(self, entries: Mapping[str, Any] | None, prefixes: Sequence[str] = ()) -> None:
        """`entries` are those of the call, None for a missing one; `prefixes` are sent whole (`seen:`)."""
        self._entries = entries
        self._prefixes = tuple(prefixes)
        self._draft = KvDraft()

    @property
    def operations(self) -> list[Operation]:
        """The writes so far, as they stand in the outcome."""
        return self._draft.operations

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value; `default` if there is no entry, or it is null. Raises NotSent if the call does not say."""
        sent = self._sent(key) if self._draft.needs_stored(key) else UNSET
        value = self._draft.value(key, sent)
        return default if value is UNSET or value is None else value

    def items(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Iterate over (key, value) of the entries that were sent or written, in the order of their keys."""
        for key in sorted({*(self._entries or ()), *self._draft.written()}):
            if key.startswith(prefix) and (value := self._known(key)) is not None:
                yield key, value

    def set(self, key: str, value: Any, *, ttl: Ttl = UNSET) -> None:
        """Write any JSON, for `ttl` or for good."""
        self._draft.add("set", key, value=value, ttl=ttl)

    def set_once(self, key: str, value: Any, *, ttl: Ttl = UNSET) -> None:
        """Write a value if there is no entry."""
        self._draft.add("set_once", key, value=value, ttl=ttl)

    def delete(self, key: str) -> None:
        """Remove an entry, if there is one."""
        self._draft.add("delete", key)

    def increment(self, key: str, by: float = 1) -> None:
        """Add to a number; no entry counts as 0. It conflicts with no other writer."""
        self._draft.add("increment", key, by=by)

    def append(self, key: str, value: Any, *, max_length: int = UNSET) -> None:
        """Add to a list, and keep its last `max_length` items. It conflicts with no other writer."""
        self._draft.add("append", key, value=value, max_length=max_length)

    def max(self, key: str, value: float | str) -> None:
        """Write a number or a text if it is greater. It conflicts with no other writer."""
        self._draft.add("max", key, value=value)

    def expire(self, key: str, ttl: Ttl) -> None:
        """Let an entry expire `ttl` from the commit on; None: never."""
        self._draft.add("expire", key, ttl=ttl)

    def check(self, key: str, value: Any) -> None:
        """Let nothing be written unless the entry has this value then; the call is made again."""
        self._draft.add("check", key, value=value)

    def _known(self, key: str) -> Any:
        sent = (self._entries or {}).get(key, UNSET)
        value = self._draft.value(key, UNSET if sent is None else sent)
        return None if value is UNSET else value

    def _sent(self, key: str) -> Any:
        entries = self._entries or {}
        if key in entries:
            return UNSET if entries[key] is None else entries[key]
        if self._entries is not None and key.startswith(self._prefixes):
            return UNSET
        raise NotSent(
            f"the call does not carry the entry {key!r}: name it in target.kv of the task"
        )
