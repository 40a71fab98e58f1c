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
