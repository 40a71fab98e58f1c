"""The pages: their views by method and path, and those in the navigation."""

from typing import Final

from rota.web.page import Views
from rota.web.pages import bulk, failures, now, repair, run, runs, task, task_form, tasks

#: Of paths that fit a request the first counts: those with a fixed part come before those with a name there.
VIEWS: Final[Views] = {
    **now.VIEWS,
    **tasks.VIEWS,
    **task_form.VIEWS,
    **task.VIEWS,
    **runs.VIEWS,
    **failures.VIEWS,
    **bulk.VIEWS,
    **run.VIEWS,
    **repair.VIEWS,
}
