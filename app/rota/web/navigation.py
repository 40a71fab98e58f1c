"""The pages in the navigation, in their order, and those that are needed more rarely."""

from typing import Final

PAGES: Final = (
    ("/ui", "Now"),
    ("/ui/tasks", "Tasks"),
    ("/ui/runs", "Runs"),
    ("/ui/queues", "Queues"),
    ("/ui/holds", "Holds"),
)
#: Below "More", so that the bar stays short.
MORE: Final = (
    ("/ui/load", "Load"),
    ("/ui/runs/bulk", "Bulk operations"),
    ("/ui/calendars", "Calendars"),
    ("/ui/handlers", "Handlers"),
    ("/ui/secrets", "Secrets"),
    ("/ui/keys", "Keys"),
    ("/ui/audit", "Audit"),
    ("/ui/system", "System"),
)
#: What `g` and another key open.
CHORDS: Final = {
    "n": ("/ui", "Now"),
    "t": ("/ui/tasks", "Tasks"),
    "r": ("/ui/runs", "Runs"),
    "q": ("/ui/queues", "Queues"),
    "h": ("/ui/holds", "Holds"),
    "l": ("/ui/load", "Load"),
    "a": ("/ui/audit", "Audit"),
}


def current_page(path: str) -> str | None:
    """Return the URL of the page in the navigation that a page is or belongs to: the one that says most of its path."""
    urls = (url for url, _ in (*PAGES, *MORE))
    found = [url for url in urls if path == url or (url != "/ui" and path.startswith(f"{url}/"))]
    return max(found, key=len, default=None)
