"""Forms that pages send: parsed, and only from pages of this dashboard."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import Request

from rota.errors import Forbidden, TooLarge

_MOST_BYTES: Final = 1_200_000
_MOST_FIELDS: Final = 1_000


def check_same_origin(request: Request) -> None:
    """Raise Forbidden for a request that a page of another site may have made with the cookie of the session.

    Browsers send `Sec-Fetch-Site`, or at least `Origin`, with every form and every `fetch` that changes something.
    """
    if not is_same_origin(request.headers, request.url.scheme):
        raise Forbidden("This form was not sent by a page of this service.")


def is_same_origin(headers: Headers, scheme: str) -> bool:
    """Return whether a page of this service has made a request that changes something."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and origin.lower() == f"{scheme}://{headers.get('host', '')}".lower()


async def read_form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form, the last of those with one name; raises TooLarge."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise TooLarge(f"A form has at most {_MOST_BYTES:,} bytes.")
    text = body.decode("utf-8", "replace")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise TooLarge(f"A form has at most {_MOST_FIELDS:,} fields.") from None
