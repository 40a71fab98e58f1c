"""The pages: their views by method and path, and those in the navigation."""

from typing import Final

from rota.web.page import Views
from rota.web.pages import (
    audit,
    calendars,
    handlers,
    holds,
    keys,
    load,
    now,
    queues,
    run,
    runs,
    secrets,
    system,
    task,
    tasks,
)

VIEWS: Final[Views] = {
    **now.VIEWS,
    **tasks.VIEWS,
    **task.VIEWS,
    **runs.VIEWS,
    **run.VIEWS,
    **queues.VIEWS,
    **holds.VIEWS,
    **load.VIEWS,
    **calendars.VIEWS,
    **handlers.VIEWS,
    **secrets.VIEWS,
    **keys.VIEWS,
    **audit.VIEWS,
    **system.VIEWS,
}
