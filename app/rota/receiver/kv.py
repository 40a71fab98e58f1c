"""The key-value table of the run's task, as far as the call carries it, and what the outcome writes to it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rota.client.entries.draft import KvWrites
from rota.client.wire import UNSET
from rota.sdk.exceptions import Fail


class NotSent(Fail, LookupError):
    """An entry was read that the call does not carry. It fails the run: another attempt would not have it either."""


class CallKv(KvWrites):
    """Reads see what the call has brought and the writes so far; writes commit with the success of the run."""

    def __init__(self, entries: Mapping[str, Any] | None, prefixes: Sequence[str] = ()) -> None:
        """`entries` are those of the call, None for a missing one; `prefixes` are sent whole (`seen:`)."""
        super().__init__()
        self._entries = entries
        self._prefixes = tuple(prefixes)

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
