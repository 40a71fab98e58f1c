"""Strong entity tags: `"<task id>.<generation or version>"`."""

import re

from fastapi import Request

from app.domain.ids import NO_ID, Id
from app.errors import Invalid

_TAG = re.compile(r'"([0-9a-f-]{36})\.(\d{1,18})"')


def etag(id: Id, number: int) -> str:
    """Return the tag of a task at a generation, or of an entry at a version."""
    return f'"{id}.{number}"'


def if_match(request: Request) -> tuple[Id, int] | None:
    """Return what `If-Match` names; None if it is not given. A tag that no ETag of ours can be matches nothing."""
    given = request.headers.get("if-match")
    if given is None:
        return None
    if given.strip() == "*" or "," in given:
        raise Invalid(
            "If-Match takes one entity tag, as an ETag header gave it.", slug="invalid-header"
        )
    match = _TAG.fullmatch(given.strip())
    if match is None:
        return NO_ID, -1
    return Id(match[1]), int(match[2])


def create_only(request: Request) -> bool:
    """Return whether `If-None-Match: *` asks that nothing be overwritten."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    if given.strip() != "*":
        raise Invalid("On a write, If-None-Match takes only '*'.", slug="invalid-header")
    return True


def none_match(request: Request, tag: str) -> bool:
    """Return whether a read can be answered 304: `If-None-Match` names the present tag."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    # Weak comparison (RFC 9110, 13.1.2): a proxy that compressed the answer has weakened our tag.
    tags = [each.strip().removeprefix("W/") for each in given.split(",")]
    return tags == ["*"] or tag in tags
