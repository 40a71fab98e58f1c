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
_BEGINNINGS: Final = (b"/docs", b"/problems/", b"/ui")
# A browser applies all policies that a response has: that of a page itself can only be stricter than this one.
_OF_PAGES: Final = (_CSP, b"frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
_OF_DASHBOARD: Final = (
    _CSP,
    (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
)


def is_page(url: bytes) -> bool:
    """Return whether there is a page at a URL: the documentation, that of a type of problem, or the dashboard."""
    if not url.startswith(_BEGINNINGS):
        return False
    return url.startswith(b"/problems/") or url.partition(b"?")[0] == b"/docs" or is_dashboard(url)


def is_dashboard(url: bytes) -> bool:
    """Return whether a URL is one of the dashboard."""
    return url.startswith(b"/ui/") or url.partition(b"?")[0] == b"/ui"


def for_page(url: bytes, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the constant headers with the policy for the content of the page at a URL."""
    policy = _OF_DASHBOARD if is_dashboard(url) else _OF_PAGES
    return [policy if each[0] == _CSP else each for each in headers]
