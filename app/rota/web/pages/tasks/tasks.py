"""The list of tasks."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from rota.web.api_client import ApiProblemError
from rota.web.page import Page, Views

_PER_PAGE: Final = 50
_SPARK_RUNS: Final = 30
_MOST_SUGGESTED: Final = 200
#: The filters, which bulk actions have as well.
FILTERS: Final = ("name_prefix", "status", "tag", "all_tags", "handler", "queue")
BULK_VERBS: Final = ("pause", "resume", "run", "cancel")
_NOTHING: Final[Mapping[str, Any]] = {"items": [], "next_cursor": None, "total": 0}


async def show(page: Page) -> Response:
    """Show the tasks that fit the filters in the URL, each with its latest runs."""
    wanted = filters_of(page)
    (found, fault), handlers, queues = await asyncio.gather(
        _find(page, wanted),
        page.api.find("handlers", limit=_MOST_SUGGESTED),
        page.api.find("queues", limit=_MOST_SUGGESTED),
    )
    return page.show(
        "tasks/tasks.html",
        status=422 if fault else 200,
        tasks=found["items"],
        failed={each["name"]: _failed(each) for each in found["items"]},
        total=found["total"],
        total_is_exact=found.get("total_is_exact", True),
        following=found["next_cursor"],
        filtered=bool(wanted) or "cursor" in page.parameters,
        fault=fault,
        handlers=_names(handlers),
        queues=_names(queues),
        verbs=[(verb, bulk_url(page, verb, wanted)) for verb in BULK_VERBS],
    )


def filters_of(page: Page) -> dict[str, str]:
    """Return the filters in the URL of a page."""
    return {name: page.parameters[name] for name in FILTERS if name in page.parameters}


def bulk_url(page: Page, verb: str, wanted: Mapping[str, str]) -> str:
    """Return the URL of the page that previews a verb for the tasks that the filters select."""
    url = page.url_of("tasks", verb)
    return f"{url}?{urlencode(wanted)}" if wanted else url


async def _find(page: Page, wanted: Mapping[str, str]) -> tuple[Mapping[str, Any], str | None]:
    """Return a page of tasks; and what is wrong with the filters, if that is why there is none."""
    try:
        cursor = page.parameters.get("cursor")
        options = {"limit": _PER_PAGE, "cursor": cursor, "total": "true"}
        return await page.api.get("tasks", **wanted, **options, latest_runs=_SPARK_RUNS), None
    except ApiProblemError as error:
        if error.status != 422:
            raise
        return _NOTHING, str(error)


def _failed(task: Mapping[str, Any]) -> int:
    """Return how many of the latest runs failed: colours alone would not tell."""
    return sum(each["status"] == "failed" for each in task.get("latest_runs", ()))


def _names(found: Mapping[str, Any] | None) -> Sequence[str]:
    return [each["name"] for each in found["items"]] if found else ()


VIEWS: Final[Views] = {("GET", "/ui/tasks"): show}
