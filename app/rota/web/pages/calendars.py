"""Calendars: their next days and who uses them; set with a form, and removed by typing their name."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from rota.web.api_client import ApiProblemError, Headers
from rota.web.faults import fault_of, fault_of_name
from rota.web.page import Page, Views, see_other

_PER_PAGE: Final = 50
_FIRST: Final = {
    "name": "",
    "source": "dates",
    "dates": "",
    "country": "",
    "subdivision": "",
    "icalendar": "",
    "description": "",
    "etag": "",
}
SOURCES: Final = (
    ("dates", "dates"),
    ("holidays", "public holidays of a country"),
    ("icalendar", "an iCalendar text"),
)
_ONLY_NEW: Final = ((b"if-none-match", b"*"),)


async def show(page: Page) -> Response:
    """Show the calendars with their next days, and the form for another."""
    return await _listed(page, _FIRST)


async def create(page: Page) -> Response:
    """Set a calendar that is not there yet."""
    form = {**_FIRST, **await page.form()}
    try:
        await _put(page, form["name"].strip(), form, _ONLY_NEW)
    except ApiProblemError as error:
        return await _listed(page, form, _fault(error))
    return see_other(page.url_of("calendars", form["name"].strip()))


async def show_one(page: Page) -> Response:
    """Show a calendar as it was declared, with a form to change it."""
    return await _one(page)


async def change(page: Page) -> Response:
    """Set a calendar anew, unless somebody else has changed it since the form was made."""
    name, form = page.part("name"), {**_FIRST, **await page.form()}
    try:
        await _put(page, name, form, ((b"if-match", form["etag"].encode()),))
    except ApiProblemError as error:
        return await _one(page, form, _fault(error))
    return see_other(page.url_of("calendars", name))


async def delete(page: Page) -> Response:
    """Remove a calendar whose name was typed."""
    name, form = page.part("name"), await page.form()
    if form.get("typed", "").strip() != name:
        return await _one(page, None, fault_of_name("calendar"))
    try:
        await page.api.call("DELETE", ("calendars", name), {})
    except ApiProblemError as error:
        return await _one(page, None, fault_of(error))
    return see_other("/ui/calendars")


async def _put(page: Page, name: str, form: Mapping[str, str], headers: Headers) -> None:
    await page.api.call("PUT", ("calendars", name), {}, _body(form), headers)


async def _listed(page: Page, form: Mapping[str, str], fault: Any = None) -> Response:
    found = await page.api.get("calendars", limit=_PER_PAGE, cursor=page.parameters.get("cursor"))
    return page.show(
        "around/calendars.html",
        status=400 if fault else 200,
        calendars=found["items"],
        following_cursor=found["next_cursor"],
        form=form,
        fault=fault,
        sources=SOURCES,
    )


async def _one(page: Page, typed: Mapping[str, str] | None = None, fault: Any = None) -> Response:
    reply = await page.api.call("GET", ("calendars", page.part("name")), {})
    calendar = reply.content
    form = typed or {**_typed(calendar), "etag": reply.headers[b"etag"].decode()}
    return page.show(
        "around/calendar.html",
        status=400 if fault else 200,
        calendar=calendar,
        form=form,
        fault=fault,
        sources=SOURCES,
    )


def _typed(calendar: Mapping[str, Any]) -> dict[str, str]:
    """Return a calendar as one would type it."""
    holidays = calendar["holidays"] or {}
    return {
        "name": calendar["name"],
        "source": calendar["source"],
        "dates": "\n".join(calendar["dates"] or ()),
        "country": holidays.get("country") or "",
        "subdivision": holidays.get("subdivision") or "",
        "icalendar": calendar["icalendar"] or "",
        "description": calendar["description"] or "",
    }


def _body(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the calendar of a form; the API says what is wrong with it."""
    body: dict[str, Any] = {"description": form["description"].strip() or None}
    match form["source"]:
        case "holidays":
            part = form["subdivision"].strip() or None
            body["holidays"] = {"country": form["country"].strip(), "subdivision": part}
        case "icalendar":
            body["icalendar"] = form["icalendar"]
        case _:
            body["dates"] = form["dates"].replace(",", " ").split()
    return body


def _fault(error: ApiProblemError) -> Mapping[str, Any]:
    if error.status != 412:
        return fault_of(error)
    detail = (
        "There is such a calendar already, or somebody else has changed it since this form was made. "
        "Nothing was changed: open the calendar again."
    )
    return {"detail": detail, "errors": []}


VIEWS: Final[Views] = {
    ("GET", "/ui/calendars"): show,
    ("POST", "/ui/calendars"): create,
    ("GET", "/ui/calendars/{name}"): show_one,
    ("POST", "/ui/calendars/{name}"): change,
    ("POST", "/ui/calendars/{name}/delete"): delete,
}
