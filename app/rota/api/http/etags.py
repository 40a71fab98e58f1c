"""Strong entity tags, `"<task id>.<generation or version>"`, and conditional requests (RFC 9110, 8.8, 13.1)."""

import re
from collections.abc import Collection
from typing import Annotated

from fastapi import Header, Request

from rota.api.http.validation import invalid_parameter
from rota.domain.primitives.ids import Id
from rota.domain.primitives.preconditions import AnyTag, Precondition, Tag

IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="The ETag that must still be the present one.")
]
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="`*`: only create, never overwrite.")
]

# Tags may hold commas, so a list of them is not split at commas.
_LISTED = re.compile(r'[\t ]*(?:(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[\t ]*)?(?:,|$)')
_OURS = re.compile(r"([0-9a-f-]{36})\.(\d{1,18})", re.ASCII)


def etag(id: Id, number: int) -> str:
    """Return the tag of a task at a generation, or of an entry at a version."""
    return f'"{id}.{number}"'


def precondition(request: Request) -> Precondition | None:
    """Return the condition of a write in `If-Match` and `If-None-Match`; None without these headers. Raises Invalid.

    A tag that cannot be one of ours, and in `If-Match` text that is no tag, never matches.
    """
    match, none_match = _given(request, "If-Match"), _given(request, "If-None-Match")
    if match is None and none_match is None:
        return None
    if none_match is not None and _listed(none_match) is None:
        # As a tag that never matches, it would allow the write to overwrite what the client wanted to protect.
        detail = "give '*', or entity tags as ETag headers gave them, in double quotes"
        raise invalid_parameter("If-None-Match", detail, "invalid-header")
    return Precondition(
        None if match is None else _our_tags(match, weak=False),
        () if none_match is None else _our_tags(none_match, weak=True),
    )


def none_match(request: Request, tag: str) -> bool:
    """Return whether the response to a read is 304: `If-None-Match` names the present tag, or `*`."""
    given = _given(request, "If-None-Match")
    if given is None:
        return False
    return given == "*" or tag[1:-1] in [opaque for _, opaque in _listed(given) or ()]


def _given(request: Request, header: str) -> str | None:
    """Return the value of a header; several headers of the same name are one list."""
    given = request.headers.getlist(header)
    return ",".join(given).strip() if given else None


def _our_tags(given: str, *, weak: bool) -> Collection[Tag] | AnyTag:
    """Return the tags in a list that can be ours. Weak tags never match strongly (RFC 9110, 8.8.3.2)."""
    if given == "*":
        return AnyTag()
    found = [
        _OURS.fullmatch(opaque) for is_weak, opaque in _listed(given) or () if weak or not is_weak
    ]
    return frozenset((Id(each[1]), int(each[2])) for each in found if each)


def _listed(given: str) -> list[tuple[bool, str]] | None:
    """Return (is weak, opaque tag) for each tag of a list; nothing for `*`, None if it is no list of tags."""
    if given == "*":
        return []
    found, at = [], 0
    while at < len(given):
        match = _LISTED.match(given, at)
        if match is None:
            return None
        if match[2] is not None:  # empty members of a list are allowed (RFC 9110, 5.6.1)
            found.append((match[1] is not None, match[2]))
        at = match.end()
    return found or None
