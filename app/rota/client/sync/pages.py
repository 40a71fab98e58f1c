"""Lists: iterators over all pages."""

# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from rota.client.errors import InvalidResponse
from rota.client.models.base import Model
from rota.client.page import Page
from rota.client.sync.transport import Transport

T = TypeVar("T", bound=Model)


class Pages(Generic[T]):
    """The items of a list, page by page as they are asked for; each iteration begins with the first page."""

    def __init__(
        self, transport: Transport, path: str, parameters: Mapping[str, Any], model: type[T]
    ) -> None:
        self._transport = transport
        self._path = path
        self._parameters = dict(parameters)
        if "page_size" in self._parameters:
            self._parameters["limit"] = self._parameters.pop("page_size")
        self._model = model

    def __iter__(self) -> Iterator[T]:
        """Iterate over the items of all pages."""
        for page in self.pages():
            yield from page.items

    def pages(self) -> Iterator[Page[T]]:
        """Iterate over the pages."""
        page = self.page()
        yield page
        while page.next_cursor is not None:
            page = self.page(page.next_cursor)
            yield page

    def page(self, cursor: str | None = None) -> Page[T]:
        """Return the first page, or that of a cursor."""
        parameters = self._parameters | ({} if cursor is None else {"cursor": cursor})
        fields = (self._transport.call("GET", self._path, query=parameters)).fields
        found = fields.get("items")
        if not isinstance(found, list):
            raise InvalidResponse(f"What was returned for {self._path} is no list of Rota")
        items = tuple(self._model.of(item) for item in found)
        return Page(items, fields.get("next_cursor"), fields)

    def all(self) -> list[T]:
        """Return all items."""
        return list(self)

    def take(self, most: int) -> list[T]:
        """Return the first `most` items."""
        taken: list[T] = []
        for page in self.pages():
            taken += page.items[: most - len(taken)]
            if len(taken) >= most:
                break
        return taken

    def first(self) -> T | None:
        """Return the first item; None if there is none."""
        return next(iter((self.page()).items), None)
