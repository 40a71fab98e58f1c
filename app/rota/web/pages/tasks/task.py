"""A task: why it does or does not run, when it fires, what it did; pause, resume, cancel and delete."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from rota.web.api_client import ApiProblemError
from rota.web.charts.of_task import timeline
from rota.web.page import Page, Views, see_other
from rota.web.sentences import sentence
from rota.web.snippets.definitions import definition_of
from rota.web.snippets.programs import as_client, as_command, as_crontab, as_curl, as_handler
from rota.web.snippets.yaml_text import as_yaml
from rota.web.task_times import next_times, zone_of

_UPCOMING: Final = 5
_LATEST: Final = 50
_ENTRIES: Final = 5
_WINDOWS: Final = ("24h", "7d", "30d")
_VERBS: Final = frozenset({"pause", "resume", "cancel"})
#: What the page says after a form; the member of the URL is a word, so that no link can put another text there.
_DONE: Final = {
    "pause": "Paused: nothing fires until it is resumed.",
    "resume": "Resumed. Fire times that passed while it was paused are skipped or run, as was chosen.",
    "cancel": "Cancelled: nothing fires, and what waited or ran was cancelled.",
}

Task = Mapping[str, Any]


async def show(page: Page) -> Response:
    """Show a task: why it does or does not run, when it fires next, what it did, and what it keeps."""
    return await _show(page)


async def act(page: Page) -> Response:
    """Pause, resume or cancel a task, and show it again."""
    name, verb = page.part("name"), page.part("verb")
    if verb not in _VERBS:
        return page.show("problem.html", status=404, code=404, detail="There is no such action.")
    given = await page.form()
    try:
        await page.api.post("tasks", name, verb, body=_body(verb, given))
    except ApiProblemError as error:
        if error.status in {401, 403, 404}:
            raise
        return await _show(page, error.status, {verb: str(error)}, given)
    return see_other(f"{page.url_of('tasks', name)}?done={verb}")


async def delete(page: Page) -> Response:
    """Delete a task whose name was typed."""
    name = page.part("name")
    given = await page.form()
    if given.get("name", "").strip() != name:
        fault = f"Type {name} to delete it. Nothing was deleted."
        return await _show(page, 422, {"delete": fault}, given)
    await page.api.call("DELETE", ["tasks", name], {})
    return see_other(page.url_of("tasks"))


async def _show(
    page: Page,
    status: int = 200,
    faults: Mapping[str, str] | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    """Show the page; `faults`: what is wrong with a form of it, by its verb, and `typed` what was typed there."""
    name = page.part("name")
    task = await page.api.get("tasks", name)
    window = page.parameters.get("window", "7d")
    explained, asked, words, upcoming, runs, entries, stats = await asyncio.gather(
        page.api.find("tasks", name, "explain"),
        _asked(page, name),
        _words(page, task),
        _upcoming(page, name),
        page.api.find("tasks", name, "runs", limit=_LATEST),
        page.api.find("tasks", name, "kv", limit=_ENTRIES, include="keys,count"),
        page.api.find("tasks", name, "stats", window=window if window in _WINDOWS else "7d"),
    )
    zone = zone_of(task["schedule"])
    return page.show(
        "tasks/task.html",
        status=status,
        task=task,
        explained=explained,
        message=sentence(explained["message"]) if explained else None,
        asked=asked,
        words=words,
        zone=zone,
        upcoming=next_times(upcoming, zone),
        runs=runs["items"] if runs else None,
        notifies=_notifies(task),
        failed=_last_failed(runs["items"] if runs else ()),
        timeline=timeline(runs["items"] if runs else ()),
        entries=entries,
        stats=stats,
        windows=_WINDOWS,
        window=window,
        snippets=_snippets(page, task),
        done=_DONE.get(page.parameters.get("done", "")),
        faults=faults or {},
        typed=typed or {},
    )


def _last_failed(runs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((each for each in runs if each["status"] == "failed"), None)


def _notifies(task: Task) -> list[tuple[str, str]]:
    """Return the tasks that are run when something happens to this one, with what that is."""
    kinds = ("on_failure", "on_success", "on_skipped", "on_late")
    named = [(kind, (task.get(kind) or {}).get("task")) for kind in kinds]
    return [(kind.replace("_", " ").capitalize(), name) for kind, name in named if name]


def _body(verb: str, given: Mapping[str, str]) -> dict[str, Any] | None:
    if verb == "pause" and given.get("reason"):
        return {"reason": given["reason"]}
    if verb == "resume" and given.get("catch_up"):
        return {"catch_up": given["catch_up"]}
    return None


async def _words(page: Page, task: Task) -> str | None:
    """Return the schedule in words; None if it cannot be previewed, as one that this version cannot read."""
    # From when the task was made: a preview refuses a time that has passed.
    body = {"schedule": task["schedule"], "count": 1, "from": task["created_at"]}
    try:
        return str((await page.api.post("schedules", "preview", body=body))["description"])
    except ApiProblemError:
        return None


async def _asked(page: Page, name: str) -> dict[str, Any] | None:
    """Return the explanation for the time in the URL, or what is wrong with that."""
    at = page.parameters.get("at")
    if at is None:
        return None
    try:
        found = await page.api.get("tasks", name, "explain", at=at)
    except ApiProblemError as error:
        return {"message": str(error), "run": None, "fault": True}
    run = found["run"]["id"] if found["run"] else None
    return {"message": sentence(found["message"]), "run": run, "fault": False}


async def _upcoming(page: Page, name: str) -> list[str]:
    try:
        return list((await page.api.get("tasks", name, "upcoming", count=_UPCOMING))["items"])
    except ApiProblemError:  # a schedule that cannot be planned, which the explanation says
        return []


def _snippets(page: Page, task: Task) -> list[tuple[str, str, str]]:
    """Return the task as code: an id, a heading and the text of each."""
    definition, with_key = definition_of(task), page.session is not None
    base, name = page.address, task["name"]
    url = f"{base}/v1/tasks/{name}"
    return [
        ("curl", "curl", as_curl(url, definition, with_key=with_key)),
        ("python", "Python", as_client(base, name, definition, with_key=with_key)),
        ("handler", "In a handler", as_handler(name, definition)),
        ("yaml", "YAML, for rota apply -f", as_yaml(name, definition)),
        ("cli", "Command line", as_command(base, name, definition)),
        ("crontab", "crontab: run it from there", as_crontab(url, definition, with_key=with_key)),
    ]


VIEWS: Final[Views] = {
    ("GET", "/ui/tasks/{name}"): show,
    ("POST", "/ui/tasks/{name}/delete"): delete,
    ("POST", "/ui/tasks/{name}/{verb}"): act,
}
