"""Runs: the one list of them in the product; every filter is in its URL."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from rota.domain.reasons import CancelReason, FailReason, SkipReason
from rota.domain.runs.status import RunStatus, Trigger
from rota.web.api_client import ApiProblemError
from rota.web.lists.paging import paging
from rota.web.lists.run_filters import LABELS, WINDOW, RunFilters, WrongWindowError
from rota.web.page import Page, Views

_PER_PAGE: Final = 50
#: What the fields of the form offer.
OFFERED: Final[Mapping[str, Sequence[str]]] = {
    "status": [each.value for each in RunStatus],
    "trigger": [each.value for each in Trigger],
    "reason": [each.value for kind in (FailReason, CancelReason, SkipReason) for each in kind],
    WINDOW: ["15m", "1h", "12h", "24h", "7d"],
}
#: Fields that are shown at once; the others are behind "More filters".
_FIRST: Final = ("task", "tag", "status", "error_text", WINDOW)


async def show(page: Page) -> Response:
    """Show the runs that fit the filters in the URL, the newest first."""
    filters = RunFilters.of(page.parameters)
    try:
        found = await page.api.get(
            "runs",
            **filters.asked(page.services.clock.now()),
            limit=_PER_PAGE,
            cursor=page.parameters.get("cursor"),
            total="true",
        )
    except WrongWindowError as error:
        return _refused(page, filters, [str(error)])
    except ApiProblemError as error:
        if error.status != 422:
            raise
        return _refused(page, filters, faults_of(error.problem))
    return page.show(
        "runs/runs.html",
        **form_of(page, filters),
        runs=found["items"],
        total=_total(found),
        pages_around=paging(page, found["next_cursor"]),
        with_values=page.parameters.get("show") == "values",
        faults=[],
    )


def _refused(page: Page, filters: RunFilters, faults: Sequence[str]) -> Response:
    return page.show(
        "runs/runs.html",
        status=422,
        **form_of(page, filters),
        runs=[],
        total="",
        pages_around=paging(page, None),
        with_values=False,
        faults=faults,
    )


def form_of(page: Page, filters: RunFilters, *, fixed: Collection[str] = ()) -> dict[str, Any]:
    """Return what the form of the filters is made of, and the filters that are set, each with the URL without it.

    `fixed`: filters that the page sets by itself.
    """
    labels = {**LABELS, WINDOW: "In the last"}
    more = [name for name in LABELS if name not in _FIRST]
    chips = [
        (labels[name], value, page.url_with(**{name: None}, cursor=None, past=None))
        for name, value in filters.given.items()
        if name not in fixed and name in page.parameters
    ]
    return {
        "filters": filters,
        "labels": labels,
        "first": [name for name in _FIRST if name not in fixed],
        "more": more,
        "more_is_open": any(name in filters.given for name in more),
        "offered": OFFERED,
        "chips": chips,
    }


def faults_of(problem: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a request, each with where it is."""
    faults = [
        f"{each.get('pointer', each.get('parameter', '')) or 'The body'}: {each['detail']}"
        for each in problem.get("errors", ())
    ]
    return faults or [str(problem.get("detail", ""))]


def _total(found: Mapping[str, Any]) -> str:
    total, noun = found["total"], "run" if found["total"] == 1 else "runs"
    return f"{total:,} {noun}" if found["total_is_exact"] else f"More than {total:,} {noun}"


VIEWS: Final[Views] = {("GET", "/ui/runs"): show}
