"""The audit log: who changed what, with the fields before and after."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from rota.domain.audit.actions import Action
from rota.web.api_client import ApiProblemError
from rota.web.faults import fault_of
from rota.web.page import Page, Views

_PER_PAGE: Final = 50
_FILTERS: Final = ("task", "principal", "action", "from", "to")
_ACTIONS: Final = tuple(each.value for each in Action)
#: The pages that have one of each kind of thing.
_PAGES: Final = {"hold": "holds", "calendar": "calendars", "secret": "secrets", "key": "keys"}
_MISSING: Final = object()


async def show(page: Page) -> Response:
    """Show the changes that fit the filters in the URL, the newest first."""
    wanted = {name: page.parameters.get(name) for name in _FILTERS}
    fault = None
    found: Any = {"items": [], "next_cursor": None}
    try:
        found = await page.api.get(
            "audit", **wanted, limit=_PER_PAGE, cursor=page.parameters.get("cursor")
        )
    except ApiProblemError as error:
        if error.status == 403:
            raise
        fault = fault_of(error)
    return page.show(
        "around/audit.html",
        status=400 if fault else 200,
        rows=[_row(each) for each in found["items"]],
        following_cursor=found["next_cursor"],
        fault=fault,
        actions=_ACTIONS,
        pages_of=_PAGES,
    )


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    data = entry["data"]
    return {
        "type": entry["type"],
        "at": entry["timestamp"],
        "data": data,
        "changes": changes_of(data["before"], data["after"]),
        "omitted": (data["details"] or {}).get("omitted_members"),
    }


def changes_of(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Return each field that differs: `was` and `is`, as texts; None where there was or is none."""
    first, second = before or {}, after or {}
    return [
        {"member": name, "was": _text(first, name), "is": _text(second, name)}
        for name in dict.fromkeys([*first, *second])
    ]


def _text(of: Mapping[str, Any], name: str) -> Any:
    value = of.get(name, _MISSING)
    return None if value is _MISSING else {"value": value}


VIEWS: Final[Views] = {("GET", "/ui/audit"): show}
