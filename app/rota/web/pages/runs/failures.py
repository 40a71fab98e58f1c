"""Failures: failed runs in groups with the same error, so that one bad deploy is one row."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from rota.domain.runs.error_groups import COMPARED_WHOLE
from rota.web.api_client import ApiProblemError
from rota.web.error_texts import common_text
from rota.web.lists.run_filters import WINDOW, RunFilters, WrongWindowError
from rota.web.page import Page, Views
from rota.web.pages.runs.runs import faults_of, form_of

_MOST_GROUPS: Final = 50
_DEFAULT_WINDOW: Final = "24h"
BY: Final = {
    "error": "error",
    "error,task": "error and task",
    "task": "task",
    "reason": "reason",
}


async def show(page: Page) -> Response:
    """Show groups of the failures that fit the filters in the URL, the largest first."""
    filters = _failures(RunFilters.of(page.parameters))
    by = page.parameters.get("by", "error")
    try:
        found = await page.api.get(
            "runs", "groups", **_asked(page, filters), by=by, limit=_MOST_GROUPS
        )
    except WrongWindowError as error:
        return _shown(page, filters, by, None, [str(error)])
    except ApiProblemError as error:
        if error.status != 422:
            raise
        return _shown(page, filters, by, None, faults_of(error.problem))
    texts = await _texts(page, found["items"])
    groups = [
        {**group, "filters": _of_group(filters, group, text)}
        for group, text in zip(found["items"], texts, strict=True)
    ]
    return _shown(page, filters, by, {**found, "items": groups}, [])


def _shown(
    page: Page, filters: RunFilters, by: str, found: Mapping[str, Any] | None, faults: Sequence[str]
) -> Response:
    return page.show(
        "runs/failures.html",
        status=422 if faults else 200,
        **form_of(page, filters, fixed={"status"}),
        found=found,
        by=by,
        kinds=BY,
        faults=faults,
    )


def _failures(filters: RunFilters) -> RunFilters:
    """Return the filters for failed runs; those of the last day, unless they say when."""
    given = {**filters.given, "status": "failed"}
    if not given.keys() & {"finished_from", "finished_to"}:
        given.setdefault(WINDOW, _DEFAULT_WINDOW)
    return RunFilters(given)


def _asked(page: Page, filters: RunFilters) -> dict[str, str]:
    return filters.asked(page.services.clock.now())


async def _texts(page: Page, groups: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Return what the errors of each group contain, where their type does not tell it from other groups."""
    first = {(each["type"], each["message"]): each for each in groups if each["type"] is not None}
    types = Counter(kind for kind, _ in first)
    ambiguous = {error: each for error, each in first.items() if types[error[0]] > 1}
    texts = await asyncio.gather(*(_text(page, each) for each in ambiguous.values()))
    by_error = dict(zip(ambiguous, texts, strict=True))
    return [by_error.get((each["type"], each["message"])) for each in groups]


async def _text(page: Page, group: Mapping[str, Any]) -> str | None:
    if group["type"] in COMPARED_WHOLE:  # no example is needed to know what its messages contain
        return common_text(group["message"], group["message"])
    run = await page.api.find("runs", group["example"])
    error = run["error"] if run else None
    return None if error is None else common_text(group["message"], error["message"])


def _of_group(filters: RunFilters, group: Mapping[str, Any], text: str | None) -> RunFilters:
    """Return the filters that lead to the runs of a group."""
    named = [each["task"] for each in group["tasks"]]
    of_tasks = named if len(named) == group["tasks_total"] else []
    narrowed = {
        "error": group["type"],
        "reason": group["reason"],
        "task": ",".join(of_tasks),
        "error_text": text,
    }
    return RunFilters(
        {**filters.given, **{name: value for name, value in narrowed.items() if value}}
    )


VIEWS: Final[Views] = {("GET", "/ui/runs/failures"): show}
