"""Headers that tell browsers what they must not do with a response; every response has them, refusals too.

They are part of the constant headers of the server (with `Date`), so that a request costs nothing more.
"""

from typing import Final

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
_BEGINNINGS: Final = (b"/docs", b"/problems/")
# A browser applies all policies that a response has: that of a page itself can only be stricter than this one.
_OF_PAGES: Final = (_CSP, b"frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
#: A badge is made to be shown by pages of other origins.
_OF_BADGES: Final = (_EMBEDDING, b"cross-origin")


def is_badge(url: bytes) -> bool:
    """Return whether there is a badge at a URL."""
    return url.startswith(b"/v1/tasks/") and url.partition(b"?")[0].endswith(b"/badge.svg")


def for_badge(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the constant headers without the one that keeps a response from being embedded."""
    return [_OF_BADGES if each[0] == _EMBEDDING else each for each in headers]


def is_page(url: bytes) -> bool:
    """Return whether there is a page at a URL: the documentation, or that of a type of problem."""
    if not url.startswith(_BEGINNINGS):
        return False
    return url.startswith(b"/problems/") or url.partition(b"?")[0] == b"/docs"


def for_page(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the constant headers with a policy for content that leaves the rest to the page."""
    return [_OF_PAGES if each[0] == _CSP else each for each in headers]
