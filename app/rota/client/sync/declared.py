"""What clients declare by name: it is listed, read and deleted in the same way."""

# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from rota.client import wire
from rota.client.models.base import Model
from rota.client.retries import Repeat
from rota.client.sync.pages import Pages
from rota.client.sync.transport import Transport

T = TypeVar("T", bound=Model)
L = TypeVar("L", bound=Model)


class Declared(Generic[T, L]):
    """One kind of such things, below one path."""

    _folder: ClassVar[str]
    _model: type[T]
    _listed_model: type[L]

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, page_size: int | None = None) -> Pages[L]:
        """List all of them, in the order of their names."""
        return self._listed(page_size=page_size)

    def read(self, name: str) -> T:
        """Read one; raises NotFound."""
        return self._model.of(self._transport.read(self._path(name)))

    def delete(self, name: str, *, if_match: str | None = None) -> None:
        """Remove one; raises NotFound."""
        headers = wire.conditional(if_match)
        self._transport.call("DELETE", self._path(name), headers=headers)

    def _listed(self, **parameters: Any) -> Pages[L]:
        return Pages(self._transport, self._path(), parameters, self._listed_model)

    def _declared(
        self,
        name: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> T:
        reply = self._transport.call(
            "PUT",
            self._path(name),
            query=query,
            body=body,
            headers=headers,
            # A repetition would not meet its precondition any more.
            repeat=Repeat.UNSAFE if headers else Repeat.SAFE,
        )
        return self._model.of(reply.fields)

    def _path(self, *parts: str) -> str:
        return wire.path(self._folder, *parts)
