"""The entries of key-value tables, one by one: as they stand, or as a commit is to leave them."""

from datetime import datetime
from typing import Any

from rota.domain.kv.growing_list import GrowingList
from rota.domain.primitives.json import json_text

JSON_TYPE = "application/json"
Number = int | float


class Present:
    """An entry as it stands, or (`version` None) as a commit is to leave it; `value` holds bytes of `content_type`.

    Of several operations on one entry only the last state is stored: a list that grows is written out when its value is
    asked for, and a number or a text is read once.
    """

    __slots__ = (
        "_list",
        "_scalar",
        "_value",
        "content_type",
        "expires_at",
        "updated_at",
        "updated_by",
        "version",
    )

    def __init__(
        self,
        value: bytes | GrowingList,
        content_type: str = JSON_TYPE,
        expires_at: datetime | None = None,
        version: int | None = None,
        updated_at: datetime | None = None,
        updated_by: str = "",
    ) -> None:
        self._list: GrowingList | None = value if isinstance(value, GrowingList) else None
        self._value: bytes | None = None if isinstance(value, GrowingList) else value
        self._scalar: Number | str | None = None
        self.content_type = content_type
        self.expires_at = expires_at
        self.version = version
        self.updated_at = updated_at
        self.updated_by = updated_by

    @property
    def value(self) -> bytes:
        if self._list is not None and self._value is None:
            self._value = self._list.encode()
        return self._value  # type: ignore[return-value]  # one of the two is there

    @property
    def size(self) -> int:
        """How many bytes the value has."""
        return len(self.value) if self._list is None else self._list.size

    def until(self, expires_at: datetime | None) -> "Present":
        """Return what a commit is to leave where only the end of the entry is another one."""
        return Present(self._list or self.value, self.content_type, expires_at)

    def written(self, version: int, at: datetime, by: str) -> "Present":
        """Return the entry as it stands once this has been written."""
        kept = self._list or self.value
        return Present(kept, self.content_type, self.expires_at, version, at, by)

    def read(self) -> Any:
        """Return the JSON value, which is not to be changed; raises Invalid."""
        if self._scalar is not None:
            return self._scalar
        made = json_text.loads(self.value)
        if isinstance(made, str | int | float):
            self._scalar = made
        return made

    def appended(self, item: Any, most: int | None) -> "GrowingList | None":
        """Return the list with another item, where it is known as one; None if its value has to be read first."""
        return None if self._list is None else self._list.appended(item, most)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Present) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        return f"Present{self._fields()!r}"

    def _fields(self) -> tuple[Any, ...]:
        return (
            self.value,
            self.content_type,
            self.expires_at,
            self.version,
            self.updated_at,
            self.updated_by,
        )
