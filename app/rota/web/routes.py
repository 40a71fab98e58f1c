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
    secrets,
    status,
    system,
)
from rota.web.pages.kv import kv, kv_entry, kv_revert
from rota.web.pages.runs import bulk, failures, repair, run, runs
from rota.web.pages.tasks import run_now, task, task_form, tasks, tasks_bulk

#: Of paths that fit a request the first counts: those with a fixed part come before those with a name there.
VIEWS: Final[Views] = {
    **now.VIEWS,
    **tasks.VIEWS,
    **task_form.VIEWS,
    **tasks_bulk.VIEWS,
    **run_now.VIEWS,
    **kv.VIEWS,
    **kv_revert.VIEWS,
    **kv_entry.VIEWS,
    **task.VIEWS,
    **runs.VIEWS,
    **failures.VIEWS,
    **bulk.VIEWS,
    **run.VIEWS,
    **repair.VIEWS,
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

#: The pages for everybody.
OPEN_VIEWS: Final[Views] = status.VIEWS
