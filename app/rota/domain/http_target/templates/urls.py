r"""Templates in URLs: in the path and the query, where no value can lead to another server or another path.

Each value is percent-encoded whole, so that it is one segment or one parameter: `/`, `?`, `#`, `@`, `\` and line ends
in it are data. What encoding cannot do is refused: `.` and `..` as a segment, which clients and servers remove, also
where they are encoded (https://url.spec.whatwg.org/#double-dot-path-segment), and a value of a path that is empty, as
`/users/` is not a user.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from rota.domain.hosts.spelling import fault_of_host
from rota.domain.http_target.templates.filling import (
    Budget,
    FilterError,
    OverBudgetError,
    fill_reference,
)
from rota.domain.http_target.templates.filters import ABSENT, to_text
from rota.domain.http_target.templates.grammar import (
    OPENS,
    FilterName,
    Reference,
    TemplateError,
    parse,
)
from rota.domain.primitives.texts.urls import has_credentials, is_http_url

MOST_URL: Final = 8_000

# Scheme, host and port, and the character that ends them. A backslash ends them, too, for some.
_SERVER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\\{}]+[/?#]")
_DOT = re.compile(r"\.|%2e", re.IGNORECASE)
_NO_SERVER = (
    "references are for the path and the query: scheme, host and port are written out, and a '/' or '?' behind them, "
    "as in 'https://app.example.com/users/{{ input.id }}'"
)
_DOTS = frozenset({".", ".."})


def fault_in_url(url: str) -> str | None:
    """Return what is wrong with the URL of a target, with what would be right; None if it can be called."""
    if OPENS in url:
        try:
            parts = parse(url)
        except TemplateError as error:
            return str(error)
        fault = _fault_in_parts(parts)
        if fault is not None:
            return fault
        url = "".join("x" if isinstance(part, Reference) else part for part in parts)
    if not is_http_url(url):
        return "give an absolute http or https URL, such as 'https://app.example.com/jobs'"
    if has_credentials(url):
        return "put credentials into a header, not into the URL"
    return fault_of_host(url)


def fill_url(url: str, scope: Mapping[str, Any], budget: Budget) -> str:
    """Return a URL with its references filled in.

    Raises what `fill` does; FilterError also for a value that would make the path another one.
    """
    if OPENS not in url:
        return url
    filled, in_path = "", True
    parts = parse(url)
    if not _has_server(parts):  # stored before references in URLs were filled in
        raise TemplateError(_NO_SERVER)
    for part in parts:
        if isinstance(part, Reference):
            filled += _encoded(part, scope, budget, in_path=in_path)
        else:
            filled += part
            in_path = in_path and "?" not in part
        if len(filled) > MOST_URL:
            raise OverBudgetError(f"the URL is longer than {MOST_URL:,} characters, the limit")
    if _has_dot_segment(filled):
        raise FilterError(
            "the path of the URL has a segment '.' or '..', which would lead elsewhere"
        )
    return filled


def _fault_in_parts(parts: tuple[str | Reference, ...]) -> str | None:
    if not _has_server(parts):
        return _NO_SERVER
    before = ""
    for part in parts:
        if isinstance(part, Reference) and "#" in before:
            return "a reference behind '#' is of no use: the fragment of a URL is never sent"
        before += part if isinstance(part, str) else ""
    if _has_dot_segment("".join("x" if isinstance(part, Reference) else part for part in parts)):
        return "write the path out: it has a segment '.' or '..' beside references"
    return None


def _has_server(parts: tuple[str | Reference, ...]) -> bool:
    first = parts[0]
    return isinstance(first, str) and _SERVER.match(first) is not None


def _encoded(
    reference: Reference, scope: Mapping[str, Any], budget: Budget, *, in_path: bool
) -> str:
    value = fill_reference(reference, scope, budget)
    text = to_text(value)
    budget.check(len(text))
    if not _is_encoded(reference):
        text = quote(text, safe="")
    budget.take(len(text))
    if in_path and not text and not reference.may_be_missing and value is not ABSENT:
        raise FilterError(
            f"{reference.brief} is empty, and the path of the URL would be another one; "
            f"if that is meant, write '{reference.brief}?' or a default"
        )
    return text


def _is_encoded(reference: Reference) -> bool:
    filters = reference.filters
    return bool(filters) and filters[-1].name is FilterName.URLENCODE


def _has_dot_segment(url: str) -> bool:
    path = re.split(r"[?#]", url, maxsplit=1)[0]
    return any(_DOT.sub(".", each) in _DOTS for each in path.split("/")[3:])
