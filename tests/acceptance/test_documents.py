"""Requests that the documents show are accepted, and the responses are those that they show."""

import json
import re
import shlex
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.acceptance.launching import ROOT
from tests.acceptance.server import Server

# Handlers that the documents name and do not bring along.
HANDLERS = """
from rota import Context, Kv, handler


@handler("report")
async def report(ctx: Context) -> None: ...


@handler("digest")
async def digest(ctx: Context) -> None: ...


async def migrate(kv: Kv, old: int) -> None:
    await kv.set("names", [await kv.get("name")])
    await kv.delete("name")


@handler("sync-feed", kv_version=2, migrate=migrate)
async def sync_feed(ctx: Context) -> None:
    if await ctx.kv.get("cursor") == 8812:
        await ctx.kv.set("cursor", 8813)
"""
KEY = f"k1:{b64encode(bytes(32)).decode()}"
# What differs each time.
VOLATILE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]+|[0-9a-f]{32}|\d{4}-\d\d-\d\dT[\d:.]+Z")
TYPES = {"once", "interval", "cron", "calendar", "any_of", "after", "manual"}
README_HANDLER = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED_BY_EXAMPLES = ("extract", "transform", "price", "invoice-digest", "nightly")
# As `docs/reference/alerts/notifiers.md` has it made.
SLACK_HOOK = {
    "value": "https://hooks.slack.com/services/T0/B0/0123456789",
    "origins": ["https://hooks.slack.com"],
    "tasks": ["alert-*"],
}
BERLIN = {"holidays": {"country": "DE", "subdivision": "BE"}}


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of code of a document."""
    text = (ROOT / "docs" / page).read_text()
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block for named, block in fenced if named == language]


def documents(text: str) -> list[Any]:
    """Return the JSON documents that stand one behind the other. `, …` leaves something out."""
    decoder, found = json.JSONDecoder(), []
    rest = re.sub(r",\s*…(?=[\s\]}])", "", text).strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    return found


def shown(of: str) -> Iterator[Any]:
    """Yield every schedule, or every registration, that a document shows as JSON.

    Those of the tutorial and the guides are sent by `tests/docs/`.
    """
    folders = (ROOT / "docs" / name for name in ("explanation", "reference"))
    for path in sorted(path for folder in folders for path in folder.rglob("*.md")):
        for block in blocks(str(path.relative_to(ROOT / "docs")), "json"):
            for number, document in enumerate(documents(block)):
                if not isinstance(document, dict):
                    continue
                is_schedule = document.get("type") in TYPES
                is_registration = "schedule" in document and "handler" in document
                if is_schedule if of == "schedule" else is_registration:
                    name = f"{path.name} {number} {json.dumps(document, ensure_ascii=False)[:60]}"
                    yield pytest.param(document, id=name)


@pytest.fixture(scope="module")
def server(
    sqlite_template: Any, tmp_path_factory: pytest.TempPathFactory, forked: Any
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("documents")
    database, handlers, reminders = (
        folder / name for name in ("rota.db", "named.py", "reminders.py")
    )
    database.write_bytes(sqlite_template.read_bytes())
    handlers.write_text(HANDLERS)
    reminders.write_text(README_HANDLER.findall((ROOT / "README.md").read_text())[0])
    given = {
        "handlers": f"{ROOT / 'examples' / 'handlers.py'},{handlers},{reminders}",
        "encryption_keys": KEY,
    }
    made = Server(forked, f"sqlite:///{database}", folder, **given)
    try:
        made.start()
        for name in NAMED_BY_EXAMPLES:
            register(made, name, "digest")
        made.call("PUT", "/v1/secrets/slack-hook", json=SLACK_HOOK)
        # As `docs/reference/tasks/calendars.md` has it declared.
        made.call("PUT", "/v1/calendars/holidays-berlin", json=BERLIN)
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("schedule", list(shown("schedule")))
def test_every_schedule_in_the_documents_is_accepted(
    server: Server, schedule: dict[str, Any]
) -> None:
    registered = {"schedule": schedule, "from": "2026-08-01T00:00:00Z"}

    answer = server.ask("POST", "/v1/schedules/preview", json=registered)

    assert answer.status_code == 200, answer.text
    assert bool(answer.json()["fire_times"]) == (schedule["type"] not in {"after", "manual"})


@pytest.mark.parametrize("task", list(shown("registration")))
def test_every_registration_in_the_documents_is_accepted(
    server: Server, task: dict[str, Any]
) -> None:
    sent = {field: value for field, value in task.items() if field != "…"}

    answer = server.ask("POST", "/v1/tasks?on_conflict=update", json=sent)

    assert answer.is_success, answer.text
    assert set(sent) <= {*answer.json(), "kv"}


def test_the_errors_of_cron_expressions_of_other_schedulers_have_a_replacement(
    server: Server,
) -> None:
    text = (ROOT / "docs/reference/tasks/schedules.md").read_text()
    [table] = re.findall(r"^\| not read \| write \|\n.*?\n\n", text, re.MULTILINE | re.DOTALL)
    cases = [re.findall(r"`([^`]+)`", line) for line in table.splitlines()[2:] if line]
    assert len(cases) == 7

    for not_read, *_ in cases:
        fields = not_read if " " in not_read or "(" in not_read else f"0 9 {not_read} * *"
        schedule = {"type": "cron", "expression": fields}
        answer = server.ask("POST", "/v1/schedules/preview", json={"schedule": schedule})
        assert answer.status_code == 422, fields
        assert re.search(r"write|give|use", answer.json()["detail"]), fields


def test_the_preview_returns_what_the_document_shows(server: Server) -> None:
    request, answered, explained = (
        documents(each)[0] for each in blocks("reference/tasks/explain.md", "json")
    )

    answer = server.call("POST", "/v1/schedules/preview", json=request)

    assert answer.keys() == answered.keys()
    assert answer["fire_times"] == answered["fire_times"]
    assert answer["description"] == answered["description"]
    assert answer["warnings"][0].keys() == answered["warnings"][0].keys()
    assert answer["warnings"][0]["at"] == answered["warnings"][0]["at"]
    assert answer["warnings"][0]["message"].startswith(answered["warnings"][0]["message"][:-1])
    explanation = server.call("GET", "/v1/tasks/invoice-digest/explain")
    assert explanation.keys() == explained.keys()


def test_a_batch_returns_what_the_document_shows(server: Server) -> None:
    [answered] = documents(blocks("explanation/concepts.md", "json")[0])
    extract = {"name": "batch-extract", "handler": "digest", "schedule": {"type": "manual"}}
    after = {"type": "after", "tasks": ["batch-extract"]}
    server.call("POST", "/v1/tasks", json=extract)
    server.call("POST", "/v1/tasks/batch-extract/pause")

    answer = server.call(
        "POST",
        "/v1/tasks/batch",
        json={"items": [{"name": "batch-report", "handler": "digest", "schedule": after}]},
    )

    [[warning]] = [each["warnings"] for each in answer["items"]]
    answered["items"][0]["warnings"][0]["message"] = warning["message"]
    answered["names"][0] = answered["items"][0]["name"] = "batch-report"
    assert answer == answered


def test_a_problem_is_as_the_document_shows_it(server: Server) -> None:
    [problem] = documents(blocks("reference/service/problems.md", "json")[0])
    task = {"handler": "nope", "schedule": {"type": "manual"}}

    answer = server.ask("POST", "/v1/tasks", json=task).json()

    built_in = ", hello, http, notify.email, notify.slack, notify.webhook, ping"
    more = f", digest, disk-report{built_in}, remind, report, sync-feed"
    as_here = json.dumps(problem).replace(f", disk-report{built_in}", more)
    assert masked(json.dumps(answer)) == masked(as_here)


def test_the_handler_of_the_readme_runs_and_refuses_a_wrong_input(server: Server) -> None:
    register(server, "order", "remind", input={"number": 7})
    ended = server.call("GET", f"/v1/runs/{run(server, 'order')}")
    wrong = {"handler": "remind", "input": {"number": "x"}, "schedule": {"type": "manual"}}

    assert ended["result"] == {"sent": 1}
    assert server.ask("POST", "/v1/tasks", json=wrong).status_code == 422


def test_the_requests_for_queues_in_the_document_work(server: Server) -> None:
    lines = blocks("reference/runs/queues.md", "")[0].splitlines()
    [queue] = documents(blocks("reference/runs/queues.md", "json")[0])

    for line in lines:
        method, path, rest = [*line.split(maxsplit=2), ""][:3]
        body = re.match(r"\{.*?\}", rest)
        options = {"json": json.loads(body[0])} if body else {}
        assert server.ask(method, path, **options).is_success, line

    server.call("PUT", "/v1/queues/mail", json=queue)
    assert server.call("GET", "/v1/queues/mail").keys() == queue.keys()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_requests_for_bulks_and_backfills_in_the_document_work(server: Server) -> None:
    pause, backfill = blocks("reference/runs/bulk.md", "sh")
    daily = {"type": "cron", "expression": "0 9 * * *"}
    register(server, "invoice-digest", "digest", schedule=daily)
    [answered] = documents(blocks("reference/runs/bulk.md", "json")[0])

    [paused] = documents(typed(pause, server.port))
    [filled] = documents(typed(backfill, server.port))

    assert paused.keys() == answered.keys()
    assert (filled["runs"], len(filled["fire_times"])) == (24, 24)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_about_the_key_value_table_print_what_the_document_shows(
    server: Server,
) -> None:
    kv = "/v1/tasks/{}/kv/{}"
    register(server, "greet", "hello")
    register(server, "feed", "sync-feed")
    register(server, "short", "digest", kv_history=1)
    register(server, "other", "digest")
    run(server, "greet")
    run(server, "greet")
    server.call("PUT", kv.format("feed", "cursor"), json={"value": 8812})
    server.call("PUT", kv.format("feed", "name"), json={"value": "news"})
    first = run(server, "feed")
    run(server, "feed")
    for value in (1, 2):
        server.call("PUT", kv.format("short", "a"), json={"value": value})

    steps = [
        step for block in blocks("reference/handlers/kv.md", "console") for step in commands(block)
    ]
    assert len(steps) == 8
    for command, printed in steps:
        line = re.sub(r'(?<="run": ")[0-9a-f-]{36}', first, command)
        output = typed(line, server.port)
        assert [masked(json.dumps(each)) for each in documents(output)] == [
            masked(json.dumps(each)) for each in documents(printed)
        ], command
        if "/revert" in command:  # what is exported next is the table after an undo
            server.call("POST", kv.format("feed", "revert"), json={"revision": 4})


def test_events_are_as_the_document_shows_them(server: Server) -> None:
    [shown_event, reset] = (
        event for block in blocks("reference/service/events.md", "") for event in events(block)
    )
    with stream(server, "/v1/events?type=run.failed") as lines:
        next(lines)  # connected
        register(server, "fails", "disk-report", input={"path": "/no/such"})
        run(server, "fails")
        received = first_event(lines)
    with stream(server, "/v1/events?last_event_id=0-999999999") as lines:
        begun_anew = first_event(lines)

    assert shape(received) == shape(shown_event)
    assert shape(begun_anew) == shape(reset)
    assert begun_anew["data"]["reason"] == reset["data"]["reason"]


def test_changes_of_a_table_are_as_the_document_shows_them(server: Server) -> None:
    [shown_event] = (
        event for block in blocks("reference/handlers/kv.md", "") for event in events(block)
    )
    register(server, "watched", "hello")
    with stream(server, "/v1/tasks/watched/kv?watch=greetings") as lines:
        next(lines)
        run(server, "watched")
        received = first_event(lines)

    assert shape(received) == shape(shown_event)


def register(server: Server, name: str, handler: str, **fields: Any) -> None:
    """Register a task, and replace an existing one."""
    server.ask("DELETE", f"/v1/tasks/{name}")
    task = {"name": name, "handler": handler, "schedule": {"type": "manual"}} | fields
    server.call("POST", "/v1/tasks", json=task)


def run(server: Server, task: str) -> str:
    """Run a task to its end; return the run's id."""
    made = server.call("POST", f"/v1/tasks/{task}/run")
    server.call("GET", f"/v1/runs/{made['id']}?wait=30")
    return str(made["id"])


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a block as it is typed, with what it prints."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        for count in range(1, len(lines) + 1):
            command = "\n".join(lines[:count])
            if is_whole(command):
                yield command, "\n".join(lines[count:])
                break


def is_whole(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return False
    return not command.endswith("\\")


def typed(command: str, port: int) -> str:
    here = command.replace("localhost:8000", f"localhost:{port}").replace("curl -X", "curl -s -X")
    return subprocess.run(here, shell=True, capture_output=True, text=True, check=True).stdout


def masked(text: str) -> Any:
    return json.loads(VOLATILE.sub("…", text))


def events(block: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in re.findall(r"^data: (.+)$", block, re.MULTILINE)]


def shape(event: dict[str, Any]) -> tuple[str, set[str], set[str]]:
    return event["type"], set(event), set(event["data"])


@contextmanager
def stream(server: Server, path: str) -> Iterator[Iterator[str]]:
    with httpx.stream("GET", f"{server.url}{path}", timeout=30, trust_env=False) as answer:
        yield answer.iter_lines()


def first_event(lines: Iterator[str]) -> dict[str, Any]:
    return next(json.loads(line[6:]) for line in lines if line.startswith("data: "))
