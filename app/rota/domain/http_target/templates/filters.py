"""The filters of templates: pure functions of a value, which never quote it in an error."""

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, assert_never
from urllib.parse import quote

from rota.domain.http_target.templates.grammar import Filter, FilterName
from rota.domain.primitives.json import json_text
from rota.domain.primitives.times.instants import check_year, format_instant, parse_instant

#: What a whole value is whose optional reference leads nowhere.
ABSENT: Final = object()


class FilterError(ValueError):
    """A value is none that a filter takes; the message says what it takes."""


def apply(each: Filter, value: Any, check_size: Callable[[int], None]) -> Any:
    """Return what a filter makes of a value. Nothing (ABSENT) stays nothing, and null stays null, but for `json`.

    `check_size` raises for so many bytes that they are too many. It is asked about the text that a filter is applied
    to, so that no filter makes more than three times as much as may be. Raises FilterError.
    """
    if each.name is FilterName.DEFAULT:
        return json_text.loads(each.argument) if value is None or value is ABSENT else value
    if value is ABSENT or (value is None and each.name is not FilterName.JSON):
        return value
    if each.name is FilterName.ISO:
        return _iso(value)
    text = to_text(value)
    check_size(len(text))
    return json_text.render(value) if each.name is FilterName.JSON else _encoded(each.name, text)


def to_text(value: Any) -> str:
    """Return a value as it stands within a text: texts unchanged, nothing and null as nothing, the rest as JSON."""
    if value is None or value is ABSENT:
        return ""
    return value if isinstance(value, str) else json_text.render(value)


def _encoded(name: FilterName, text: str) -> str:
    match name:
        case FilterName.URLENCODE:
            return quote(text, safe="")
        case FilterName.BASE64:
            return b64encode(text.encode()).decode()
        case FilterName.DEFAULT | FilterName.ISO | FilterName.JSON:  # which are not about a text
            raise AssertionError(name)
        case _:
            assert_never(name)


def _iso(value: Any) -> str:
    try:
        return format_instant(_instant(value))
    except (ValueError, OverflowError, OSError):
        raise FilterError(
            "'iso' takes a number of seconds since 1970, or a time as RFC 3339 with an offset, "
            f"and got {json_text.kind_of(value)}{' that is neither' if isinstance(value, str | float | int) else ''}"
        ) from None


def _instant(value: Any) -> datetime:
    if isinstance(value, int | float) and not isinstance(value, bool):
        at = datetime.fromtimestamp(value, UTC)
        check_year(at)
        return at
    if isinstance(value, str):
        return parse_instant(value)
    raise ValueError
