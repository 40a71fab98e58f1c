"""Secrets: their names and what they are bound to; stored, rotated and removed. No value is ever shown.

What was typed stays in a form that is refused, but for the value: no page has one in it.
"""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from rota.web.api_client import ApiProblemError, Headers
from rota.web.faults import fault_of, fault_of_name
from rota.web.page import Page, Views, see_other

_PER_PAGE: Final = 50
_FIRST: Final = {"name": "", "origins": "", "tasks": "*", "description": "", "etag": ""}
_ONLY_NEW: Final = ((b"if-none-match", b"*"),)
_OVERLAP: Final = "24h"


async def show(page: Page) -> Response:
    """Show the secrets without their values, and the form for another."""
    return await _listed(page, _FIRST)


async def create(page: Page) -> Response:
    """Store a secret that is not there yet."""
    form = {**_FIRST, **await page.form()}
    name = form["name"].strip()
    try:
        await _put(page, name, form, _ONLY_NEW)
    except ApiProblemError as error:
        return await _listed(page, form, _fault(error))
    return see_other(page.url_of("secrets", name))


async def show_one(page: Page) -> Response:
    """Show a secret without its value."""
    return await _one(page)


async def change(page: Page) -> Response:
    """Change what a secret is bound to, and its value if one is given."""
    name, form = page.part("name"), {**_FIRST, **await page.form()}
    try:
        await _put(page, name, form, ((b"if-match", form["etag"].encode()),))
    except ApiProblemError as error:
        return await _one(page, form, fault=_fault(error))
    return see_other(page.url_of("secrets", name))


async def rotate(page: Page) -> Response:
    """Give a secret its next value."""
    name, form = page.part("name"), await page.form()
    overlap = form.get("overlap", "").strip() or "0s"
    try:
        body = {"value": form.get("value", ""), "overlap": overlap}
        await page.api.post("secrets", name, "rotate", body=body)
    except ApiProblemError as error:
        return await _one(page, overlap=overlap, fault=fault_of(error))
    return see_other(page.url_of("secrets", name))


async def delete(page: Page) -> Response:
    """Remove a secret whose name was typed."""
    name, form = page.part("name"), await page.form()
    if form.get("typed", "").strip() != name:
        return await _one(page, fault=fault_of_name("secret"))
    force = "true" if form.get("force") else None
    try:
        await page.api.call("DELETE", ("secrets", name), {"force": force})
    except ApiProblemError as error:
        return await _one(page, fault=fault_of(error))
    return see_other("/ui/secrets")


async def _put(page: Page, name: str, form: Mapping[str, str], headers: Headers) -> None:
    body: dict[str, Any] = {
        "origins": form["origins"].replace(",", " ").split(),
        "tasks": form["tasks"].replace(",", " ").split(),
        "description": form["description"].strip() or None,
    }
    if form.get("value"):
        body["value"] = form["value"]
    await page.api.call("PUT", ("secrets", name), {}, body, headers)


async def _listed(page: Page, form: Mapping[str, str], fault: Any = None) -> Response:
    found = await page.api.get("secrets", limit=_PER_PAGE, cursor=page.parameters.get("cursor"))
    return page.show(
        "access/secrets.html",
        status=400 if fault else 200,
        secrets=found["items"],
        following_cursor=found["next_cursor"],
        form=_kept(form),
        fault=fault,
    )


async def _one(
    page: Page,
    typed: Mapping[str, str] | None = None,
    *,
    overlap: str = _OVERLAP,
    fault: Any = None,
) -> Response:
    reply = await page.api.call("GET", ("secrets", page.part("name")), {})
    secret, etag = reply.content, reply.headers.get(b"etag", b"").decode()
    return page.show(
        "access/secret.html",
        status=400 if fault else 200,
        secret=secret,
        form=_kept(typed or {**_typed(secret), "etag": etag}),
        overlap=overlap,
        fault=fault,
    )


def _typed(secret: Mapping[str, Any]) -> dict[str, str]:
    return {
        "name": secret["name"],
        "origins": "\n".join(secret["origins"]),
        "tasks": "\n".join(secret["tasks"]),
        "description": secret["description"] or "",
    }


def _kept(form: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that a page may show."""
    return {name: form.get(name, "") for name in _FIRST}


def _fault(error: ApiProblemError) -> Mapping[str, Any]:
    if error.status != 412:
        return fault_of(error)
    detail = (
        "There is such a secret already, or somebody else has changed it since this form was made. "
        "Nothing was changed: open the secret again."
    )
    return {"detail": detail, "errors": []}


VIEWS: Final[Views] = {
    ("GET", "/ui/secrets"): show,
    ("POST", "/ui/secrets"): create,
    ("GET", "/ui/secrets/{name}"): show_one,
    ("POST", "/ui/secrets/{name}"): change,
    ("POST", "/ui/secrets/{name}/rotate"): rotate,
    ("POST", "/ui/secrets/{name}/delete"): delete,
}
