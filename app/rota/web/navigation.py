"""The pages in the navigation, in their order."""

from typing import Final

PAGES: Final = (
    ("/ui", "Now"),
    ("/ui/tasks", "Tasks"),
    ("/ui/runs", "Runs"),
)
