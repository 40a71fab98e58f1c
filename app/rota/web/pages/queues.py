"""Queues: how full they are, their limits, and whether they run."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from rota.web.api_client import ApiProblemError
from rota.web.charts.around import gauge
from rota.web.faults import fault_of
from rota.web.page import Page, Views, see_other

_PER_PAGE: Final = 50
#: In so many minutes runs have ended that the API counts.
_MINUTES: Final = 5


async def show(page: Page) -> Response:
    """Show the queues."""
    return await _shown(page)


async def act(page: Page) -> Response:
    """Pause or resume a queue, set its limit, or reset it."""
    name, verb = page.part("name"), page.part("verb")
    form = await page.form()
    try:
        await _change(page, name, verb, form)
    except ApiProblemError as error:
        return await _shown(page, fault=fault_of(error), of=name, given=form)
    return see_other("/ui/queues")


async def _change(page: Page, name: str, verb: str, form: Mapping[str, str]) -> None:
    if verb == "reset":
        await page.api.call("DELETE", ("queues", name), {})
        return
    queue = await page.api.get("queues", name)
    body = {"concurrency": queue["concurrency"], "paused": queue["paused"]}
    if verb in {"pause", "resume"}:
        body["paused"] = verb == "pause"
    else:
        body["concurrency"] = _number(form.get("concurrency", "").strip())
    await page.api.call("PUT", ("queues", name), {}, body)


def _number(given: str) -> int | str | None:
    """Return a number as it was typed; the API says what is wrong with another text."""
    if not given:
        return None
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 16 else given


async def _shown(
    page: Page, fault: Any = None, of: str = "", given: Mapping[str, str] | None = None
) -> Response:
    cursor = page.parameters.get("cursor")
    found = await page.api.get("queues", limit=_PER_PAGE, cursor=cursor, ended="true")
    rows = [
        {
            "queue": each,
            "gauge": gauge(each["running"], each["concurrency"]),
            "typed": _typed(each, of, given),
            "per_minute": f"{each['ended'] / _MINUTES:,.1f}",
        }
        for each in found["items"]
    ]
    return page.show(
        "around/queues.html",
        status=400 if fault else 200,
        rows=rows,
        following_cursor=found["next_cursor"],
        fault=fault,
        of=of,
    )


def _typed(queue: Mapping[str, Any], of: str, given: Mapping[str, str] | None) -> Any:
    if given is not None and queue["name"] == of:
        return given.get("concurrency", "")
    return queue["concurrency"] or ""


VIEWS: Final[Views] = {
    ("GET", "/ui/queues"): show,
    ("POST", "/ui/queues/{name}/{verb}"): act,
}
