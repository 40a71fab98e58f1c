"""Headers that tell browsers what they must not do with a response; every response has them, refusals too.

They are part of the constant headers of the server (with `Date`), so that a request costs nothing more.
"""

from typing import Final

Header = tuple[bytes, bytes]

#: Of every response. The API has no pages: what a browser is shown as one may load, run or submit nothing.
HEADERS: Final = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    # Pages of other origins cannot embed a response. It has no effect on CORS (ROTA_CORS_ORIGINS).
    ("cross-origin-resource-policy", "same-origin"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
)
_CSP: Final = b"content-security-policy"
_EMBEDDING: Final = b"cross-origin-resource-policy"
_BEGINNINGS: Final = (b"/docs", b"/guide", b"/problems/", b"/ui", b"/v1/tasks/")
# A browser applies all policies that a response has: that of a page itself can only be stricter than this one.
_OF_PAGES: Final = (_CSP, b"frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
_OF_DASHBOARD: Final = (
    _CSP,
    (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
)
#: The pages of the guide have no script.
_OF_GUIDE: Final = (
    _CSP,
    (
        b"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; "
        b"base-uri 'none'"
    ),
)
#: A badge is made to be shown by pages of other origins.
_OF_BADGES: Final = (_EMBEDDING, b"cross-origin")


def other_at(url: bytes) -> Header | None:
    """Return the constant header that is another one at a URL, None if there is none.

    Pages, the dashboard, the guide and badges have one.
    """
    if not url.startswith(_BEGINNINGS):
        return None
    path = url.partition(b"?")[0]
    if path.startswith(b"/v1/tasks/"):
        return _OF_BADGES if path.endswith(b"/badge.svg") else None
    if path.startswith(b"/ui/") or path == b"/ui":
        return _OF_DASHBOARD
    if path.startswith(b"/guide/") or path == b"/guide":
        return _OF_GUIDE
    return _OF_PAGES if path.startswith(b"/problems/") or path == b"/docs" else None


def with_other(headers: list[Header], other: Header) -> list[Header]:
    """Return the constant headers with one of them replaced."""
    return [other if each[0] == other[0] else each for each in headers]
