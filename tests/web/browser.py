"""A browser without a screen for the dashboard: cookies, forms as its pages have them, and no redirects by itself."""

from collections.abc import Mapping
from functools import partial
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.api.service import BASE, Api

FORM = "application/x-www-form-urlencoded"


class Elements(HTMLParser):
    """The elements of a page: tags with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    def typed(self) -> dict[str, str]:
        """Return the values of the fields with one line, by their names."""
        fields = [each for each in self.all("input") if each.get("name")]
        return {each["name"] or "": each.get("value") or "" for each in fields}


class Browser:
    """Opens pages with the cookies that it was given."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.cookies: dict[str, str] = {}

    def open(self, path: str, **headers: str) -> httpx.Response:
        return self._send("GET", path, headers=headers)

    def send(
        self, path: str, fields: Mapping[str, str] | None = None, **headers: str
    ) -> httpx.Response:
        """Send a form, as a page of the service does unless the headers say otherwise."""
        given = {"content-type": FORM, "sec-fetch-site": "same-origin"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self._send("POST", path, content=urlencode(fields or {}), headers=given)

    def page(self, path: str) -> Elements:
        """Open a page that is there."""
        answer = self.open(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[-500:])
        return Elements(answer.text)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.api.portal.call(partial(self._exchange, method, path, **options))

    async def _exchange(
        self, method: str, path: str, *, headers: Mapping[str, str], **options: Any
    ) -> httpx.Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = dict(headers) | ({"cookie": cookie} if cookie else {})
        transport = httpx.ASGITransport(self.api.app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            answer = await client.request(method, path, headers=sent, **options)
        for name, value in answer.cookies.items():
            self.cookies[name] = value
        return answer
