"""WorkManager's vocabulary in Rota: run it against a service and read the results.

    ROTA_HANDLERS=examples/workmanager_handlers.py make run
    .venv/bin/python examples/workmanager.py                   # in another terminal; takes ten seconds

It takes another address as argument, and a key from ROTA_API_KEY. The names of its tasks begin with `wm.`; it removes
those of an earlier execution first, and ends with 1 after an unexpected result.
docs/guides/from-workmanager.md has the whole table.
"""

import json
import os
import sys
import time
from datetime import datetime, timedelta
from typing import Any

import httpx

PATIENCE = 20.0
WIDTH = 150
#: A worker that runs on request; and an input that keeps it busy until it is cancelled.
WORK: dict[str, Any] = {"handler": "import-photos", "schedule": {"type": "manual"}}
LONG = {"photos": 1000}


class SurpriseError(Exception):
    """The service returned something else than this file expects."""


class Rota:
    """A small client that prints its requests and the responses."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(
            base_url=f"{url}/v1", headers=headers, timeout=PATIENCE, trust_env=False
        )

    def ask(
        self, method: str, path: str, body: Any = None, status: int = 200, **expected: Any
    ) -> Any:
        """Make a request, whose answer must have this status and these fields; return the answer."""
        print(f"  {method} /v1{path}" + ("" if body is None else f"  {_short(body)}"))
        response = self._http.request(method, path, json=body)
        answer = response.json() if response.content else {}
        print(f"    {response.status_code}  {_shown(answer, expected)}")
        if response.status_code != status or not _has(answer, expected):
            raise SurpriseError(
                f"expected {status} {expected}, got {response.status_code} {answer}"
            )
        return answer

    def run(self, task: str, given: Any = None) -> str:
        """Run a task now, with another input if one is given; return the id of the run."""
        body = {} if given is None else {"input": given}
        run: str = self.ask("POST", f"/tasks/{task}/run", body, 202, task=task)["id"]
        return run

    def see(self, path: str, **expected: Any) -> Any:
        """Look until the answer has these fields (of a list: its first item); return it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._http.get(path).json()
            seen = (answer["items"] or [{}])[0] if "items" in answer else answer
            if _has(seen, expected):
                print(f"  GET /v1{path}\n    {_shown(seen, expected)}")
                return seen
            if time.monotonic() > deadline:
                raise SurpriseError(f"{path}: expected {expected}, last seen {seen}")
            time.sleep(0.05)


def _has(answer: Any, expected: dict[str, Any]) -> bool:
    """Tell whether the answer has these fields; `...` stands for anything but null."""
    return all(
        answer.get(name) is not None if value is ... else name in answer and answer[name] == value
        for name, value in expected.items()
    )


def _shown(answer: Any, expected: dict[str, Any]) -> str:
    return "  ".join(f"{name}={_short(answer.get(name))}" for name in expected) or _short(answer)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}…"


def check(what: str, *, holds: bool) -> None:
    """Say something that was found out; raise if it does not hold."""
    if not holds:
        raise SurpriseError(f"it is not so: {what}")
    print(f"  → {what}")


def say(*lines: str) -> None:
    print("", *lines, sep="\n")


def unique_work(rota: Rota) -> None:
    say(
        "# Unique work: a task's name is its unique name",
        "",
        "One-time work with an initial delay:",
    )
    backup = {"name": "wm.backup", "handler": "import-photos", "input": {"note": "first"}}
    backup["schedule"] = {"type": "once", "delay": "1h"}
    other = backup | {"input": {"note": "second"}}
    first = rota.ask("POST", "/tasks", backup, 201, outcome="created", generation=1)

    say("The default is to refuse a name that is taken, so that nothing is replaced by mistake:")
    rota.ask("POST", "/tasks", other, 409, type="/problems/task-exists")
    say(
        "KEEP: the work that waits stays, and `differs` in the response says that the sent definition is another:"
    )
    rota.ask("POST", "/tasks?on_conflict=keep", other, outcome="kept", differs=True)
    say("UPDATE: a new definition for the same work, due at the same time:")
    at = first["next_fire_at"]
    rota.ask("PUT", "/tasks/wm.backup", other, outcome="updated", generation=2, next_fire_at=at)
    say("REPLACE: the schedule restarts, here without a delay:")
    now = other | {"schedule": {"type": "once", "delay": 0}}
    rota.ask("POST", "/tasks?on_conflict=replace", now, outcome="replaced")
    rota.see("/tasks/wm.backup/runs", status="succeeded", result={"imported": 1, "note": "second"})


def periodic_work(rota: Rota) -> None:
    say("# Unique periodic work that is running", "", "It fires at once, and takes its time:")
    task = WORK | {"name": "wm.import", "input": LONG}
    task["schedule"] = {"type": "interval", "every": "15m", "initial_delay": 0}
    rota.ask("POST", "/tasks", task, 201, outcome="created")
    running = rota.see("/tasks/wm.import/runs", status="running", task_generation=1)["id"]

    say("UPDATE does not change running work; the new definition applies from the next run:")
    short = task | {"input": {"photos": 1}}
    rota.ask("PUT", "/tasks/wm.import", short, outcome="updated", generation=2, applied="next_run")
    rota.see(f"/runs/{running}", status="running", task_generation=1)
    say("REPLACE (CANCEL_AND_REENQUEUE) ends it, and restarts the schedule:")
    rota.ask("POST", "/tasks?on_conflict=replace", short, outcome="replaced")
    rota.see(f"/runs/{running}", status="cancelled", reason="replaced")
    rota.see("/tasks/wm.import/runs", status="succeeded", task_generation=3)


def appended_work(rota: Rota) -> None:
    say("# APPEND: with `buffer`, new runs wait in line behind the running one")
    task = WORK | {"overlap_policy": "buffer"}
    rota.ask("PUT", "/tasks/wm.append", task, 201, outcome="created")
    first = rota.run("wm.append", LONG)
    second = rota.run("wm.append", {"note": "second"})
    rota.see(f"/runs/{second}", status="blocked", waiting_on=[f"overlap:{first}"])
    say(
        "APPEND_OR_REPLACE is what `buffer` does: a cancelled predecessor does not take the rest with it."
    )
    rota.ask("POST", f"/runs/{first}/cancel", status=202, id=first)
    rota.see(f"/runs/{second}", status="succeeded", result={"imported": 1, "note": "second"})


def chain(rota: Rota) -> None:
    say("# A chain of three: beginWith(sepia, grey).then(pack).then(upload)")
    photo = WORK | {"handler": "filter-photo"}
    sepia = photo | {"name": "wm.sepia", "input": {"photo": "beach.jpg", "filter": "sepia"}}
    grey = photo | {"name": "wm.grey", "input": {"photo": "beach.jpg", "filter": "grey"}}
    # OverwritingInputMerger: the results of both lie in its input, beside its own.
    pack = {"name": "wm.pack", "handler": "pack", "input": {"quality": 80}}
    pack["schedule"] = {"type": "after", "tasks": ["wm.sepia", "wm.grey"], "merge": "overwrite"}
    upload = {"name": "wm.upload", "handler": "upload", "input": {"album": "summer"}}
    upload["schedule"] = {"type": "after", "tasks": ["wm.pack"], "merge": "by_task"}
    rota.ask("POST", "/tasks/batch", {"items": [sepia, grey, pack, upload]}, 201, created=4)

    rota.run("wm.sepia")
    rota.run("wm.grey")
    merged = {"sepia": "beach.jpg in sepia", "grey": "beach.jpg in grey", "quality": 80}
    packed = rota.see("/tasks/wm.pack/runs", status="succeeded", trigger="after", input=...)
    both = merged.items() <= packed["input"].items()
    check("its input has the results of both, beside its own, and how they ended", holds=both)
    say(
        "The last step finds no network at first: Result.retry(), with a time and a reason of its own."
    )
    files = ["beach.jpg in grey", "beach.jpg in sepia"]
    result = {"album": "summer", "files": files, "attempt": 2}
    rota.see("/tasks/wm.upload/runs", status="succeeded", failures=1, result=result)

    say(
        "Result.failure() in the first step: the tasks that come after it are notified, and do not run."
    )
    rota.run("wm.sepia", {"photo": "notes.txt", "filter": "sepia"})
    rota.see("/tasks/wm.sepia/runs", status="failed", reason="fatal")
    rota.see("/tasks/wm.pack/runs", status="skipped", reason="predecessor")
    rota.see("/tasks/wm.upload/runs", status="skipped", reason="predecessor")


def flex_interval(rota: Rota) -> None:
    say("# A flex interval: once an hour, at some point of its last quarter")
    schedule = {"type": "interval", "every": "1h", "flex": "15m"}
    hourly = WORK | {"schedule": schedule}
    hourly = rota.ask("PUT", "/tasks/wm.hourly", hourly, 201, upcoming=...)
    times = hourly["upcoming"]
    look = {"schedule": schedule, "name": "wm.hourly", "from": hourly["created_at"], "count": 3}
    preview = rota.ask("POST", "/schedules/preview", look, description=...)
    check("the preview has the same", holds=[each["at"] for each in preview["fire_times"]] == times)
    into = [_since(hourly["created_at"], each) % timedelta(hours=1) for each in times]
    expected = ", ".join(f"{each / timedelta(minutes=1):.1f}" for each in into)
    check(f"minutes into each hour: {expected}", holds=min(into) >= timedelta(minutes=45))

    say("The same within two seconds, to see it happen:")
    brief = WORK | {"schedule": {"type": "interval", "every": 2, "flex": 1, "max_runs": 1}}
    brief = rota.ask("PUT", "/tasks/wm.brief", brief, 201, outcome="created")
    run = rota.see("/tasks/wm.brief/runs", status="succeeded", scheduled_for=brief["next_fire_at"])
    after = _since(brief["created_at"], run["started_at"])
    check(f"it started {after.total_seconds():.3f} s after", holds=after >= timedelta(seconds=1))


def _since(begin: str, end: str) -> timedelta:
    return datetime.fromisoformat(end) - datetime.fromisoformat(begin)


def constraints(rota: Rota) -> None:
    say("# Constraints", "", "Those of a phone are refused, with a replacement:")
    charging = WORK | {"constraints": [{"type": "requires_charging"}]}
    refused = rota.ask("PUT", "/tasks/wm.sync", charging, 422, type="/problems/invalid")
    check(refused["errors"][0]["detail"], holds="max_load" in refused["detail"])

    say(
        "Those of a server: room on the disk, the hours in which it may run, and an entry of the kv:"
    )
    rota.ask("PUT", "/tasks/wm.settings", WORK, 201, outcome="created")
    go = {"type": "kv", "task": "wm.settings", "key": "sync", "equals": True, "name": "go"}
    room = {"type": "min_free_disk", "bytes": "1MB"}
    hours = {"type": "window", "from": "00:00", "to": "24:00"}
    work = WORK | {"constraints": [room, hours, go]}
    rota.ask("PUT", "/tasks/wm.sync", work, 201, outcome="created")
    run = rota.run("wm.sync")
    rota.see(f"/runs/{run}", status="blocked", waiting_on=["constraint:go"])
    rota.ask("PUT", "/tasks/wm.settings/kv/sync", {"value": True}, 201, version=1)
    rota.see(f"/runs/{run}", status="succeeded")

    say("What WorkManager does not have: a deadline, after which the run is skipped with a reason:")
    rota.ask("PUT", "/tasks/wm.settings/kv/sync", {"value": False}, version=2)
    late = WORK | {"constraints": [go | {"deadline": 1}]}
    rota.ask("PUT", "/tasks/wm.sync", late, outcome="updated")
    run = rota.run("wm.sync")
    rota.see(f"/runs/{run}", status="skipped", reason="constraint_deadline")


def tags_progress_and_cancel(rota: Rota) -> None:
    say("# Tags, progress, and cancelAllWorkByTag")
    album = WORK | {"input": LONG, "tags": ["wm-photos"]}
    later = album | {"schedule": {"type": "once", "delay": "1h"}}
    rota.ask("PUT", "/tasks/wm.album", album, 201, tags=["wm-photos"])
    rota.ask("PUT", "/tasks/wm.later", later, 201, tags=["wm-photos"])
    found = rota.ask("GET", "/tasks?tag=wm-photos", next_cursor=None)
    names = [each["name"] for each in found["items"]]
    check(f"getWorkInfosByTag: {', '.join(names)}", holds=names == ["wm.album", "wm.later"])

    say("Progress, while it runs:")
    run = rota.run("wm.album")
    rota.see(f"/runs/{run}", status="running", progress=...)
    say(
        "A cancel requests a running handler to end, with a reason; its progress stays with the run:"
    )
    selector = {"selector": {"tags": ["wm-photos"]}}
    rota.ask("POST", "/tasks/cancel", selector | {"dry_run": True}, matched=2, changed=2)
    rota.ask("POST", "/tasks/cancel", selector, matched=2, changed=2)
    rota.see(f"/runs/{run}", status="cancelled", reason="task_cancelled", progress=...)
    rota.see(f"/runs/{run}/logs", message="stopped, because of: cancelled")
    rota.see("/tasks/wm.later", status="cancelled", next_fire_at=None)


CHAPTERS = (
    unique_work,
    periodic_work,
    appended_work,
    chain,
    flex_interval,
    constraints,
    tags_progress_and_cancel,
)


def main() -> int:
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    rota = Rota(url, os.environ.get("ROTA_API_KEY"))
    try:
        say("# First, the tasks of an earlier execution are removed")
        rota.ask("POST", "/tasks/delete", {"selector": {"name_prefix": "wm."}}, matched=...)
        for chapter in CHAPTERS:
            chapter(rota)
    except SurpriseError as surprise:
        print(f"\nNot as expected: {surprise}", file=sys.stderr)
        return 1
    except httpx.TransportError as error:
        print(f"\nNobody answers at {url}: {error}", file=sys.stderr)
        return 1
    say("Everything was as expected. Look at the tasks: GET /v1/tasks?name_prefix=wm.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
