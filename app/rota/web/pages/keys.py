"""API keys: listed, made and rotated with a secret that is shown once, and revoked by typing their name."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from rota.domain.access.scopes import Scope
from rota.web.api_client import ApiProblemError
from rota.web.faults import fault_of
from rota.web.page import Page, Views, see_other

_PER_PAGE: Final = 50
_SCOPES: Final = tuple(each.value for each in Scope)
_SCOPE: Final = "scope:"
_QUOTAS: Final = ("max_tasks", "max_unfinished_runs", "max_kv_bytes")
_FIELDS: Final = ("name", "tasks", "queues", "rate", *_QUOTAS, "expires_at")


async def show(page: Page) -> Response:
    """Show the keys, and the form for another."""
    return await _listed(page, {})


async def create(page: Page) -> Response:
    """Make a key, and show its secret."""
    form = await page.form()
    try:
        made = await page.api.post("keys", body=_body(form))
    except ApiProblemError as error:
        return await _listed(page, form, fault_of(error))
    return page.show("access/key_made.html", made=made, rotated=False)


async def show_one(page: Page) -> Response:
    """Show a key, and how it is rotated and revoked."""
    return await _one(page)


async def rotate(page: Page) -> Response:
    """Give a key another secret, and show that."""
    form = await page.form()
    overlap = form.get("overlap", "").strip() or "0s"
    try:
        made = await page.api.post("keys", page.part("id"), "rotate", body={"overlap": overlap})
    except ApiProblemError as error:
        return await _one(page, fault_of(error), form)
    return page.show("access/key_made.html", made=made, rotated=True)


async def revoke(page: Page) -> Response:
    """Revoke a key whose name was typed."""
    id, form = page.part("id"), await page.form()
    key = await page.api.get("keys", id)
    if form.get("typed", "").strip() != key["name"].strip():
        detail = "That is not the name of the key. Type it as it stands above."
        return await _one(page, {"detail": detail, "errors": []}, form)
    await page.api.call("DELETE", ("keys", id), {})
    return see_other("/ui/keys")


async def _listed(page: Page, form: Mapping[str, str], fault: Any = None) -> Response:
    found = await page.api.get("keys", limit=_PER_PAGE, cursor=page.parameters.get("cursor"))
    return page.show(
        "access/keys.html",
        status=400 if fault else 200,
        keys=found["items"],
        following_cursor=found["next_cursor"],
        fault=fault,
        form={name: form.get(name, "") for name in _FIELDS},
        scopes=[(each, f"{_SCOPE}{each}" in form) for each in _SCOPES],
    )


async def _one(page: Page, fault: Any = None, form: Mapping[str, str] | None = None) -> Response:
    given = form or {}
    return page.show(
        "access/key.html",
        status=400 if fault else 200,
        key=await page.api.get("keys", page.part("id")),
        fault=fault,
        overlap=given.get("overlap", "24h"),
        typed=given.get("typed", ""),
    )


def _body(form: Mapping[str, str]) -> dict[str, Any]:
    body = {
        "name": form.get("name", "").strip(),
        "scopes": [each for each in _SCOPES if f"{_SCOPE}{each}" in form],
        "tasks": _names(form.get("tasks", "")),
        "queues": _names(form.get("queues", "")),
        "rate": _number(form.get("rate", "").strip()),
        **{name: _whole(form.get(name, "").strip()) for name in _QUOTAS},
        "expires_at": form.get("expires_at", "").strip() or None,
    }
    return {name: value for name, value in body.items() if value is not None}


def _names(given: str) -> list[str] | None:
    return [each.strip() for each in given.split(",") if each.strip()] or None


def _number(given: str) -> float | str | None:
    """Return a number as it was typed; the API says what is wrong with another text."""
    try:
        return float(given) if given else None
    except ValueError:
        return given


def _whole(given: str) -> int | str | None:
    """Return a whole number as it was typed, likewise."""
    if not given:
        return None
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 16 else given


VIEWS: Final[Views] = {
    ("GET", "/ui/keys"): show,
    ("POST", "/ui/keys"): create,
    ("GET", "/ui/keys/{id}"): show_one,
    ("POST", "/ui/keys/{id}/rotate"): rotate,
    ("POST", "/ui/keys/{id}/revoke"): revoke,
}
