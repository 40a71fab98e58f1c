"""`rota task` and `rota explain`, `stats`: registering, listing, verbs by name and by selector, export and import."""

import json
from pathlib import Path

import pytest

from rota.cli.remote.tasks.fields import SET_BY_THE_SERVICE
from tests.cli.remote.command import CommandLine
from tests.support.openapi import openapi_document


def test_a_task_is_added_from_options(rota: CommandLine) -> None:
    said = rota.text(
        "task", "add", "added", "--handler", "echo", "--input", '{"a": 1}', "--tag", "x", "--tag", "y",
        "--cron", "0 9 * * 1-5", "--tz", "Europe/Berlin", "--timeout", "1m",
    )  # fmt: skip

    task = rota.api.read("/v1/tasks/added")
    assert said.startswith("added: created, fires at 2")
    assert (task["input"], task["tags"], task["timeout"]) == ({"a": 1}, ["x", "y"], 60)
    assert task["schedule"] == {
        "type": "cron",
        "expression": "0 9 * * 1-5",
        "timezone": "Europe/Berlin",
    }


def test_options_replace_fields_of_a_file(rota: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "task.yaml"
    file.write_text("name: filed\nhandler: echo\nschedule: {type: manual}\ninput: 1\n")

    rota.run("task", "add", "-f", str(file), "--input", "2")
    again = rota.run("task", "add", "-f", str(file), code=5)
    kept = rota.run("task", "add", "-f", str(file), "--on-conflict", "keep")

    assert rota.api.read("/v1/tasks/filed")["input"] == 2
    assert "filed" in again.stderr
    assert "its definition is another one" in kept.stderr


def test_a_call_over_http_needs_no_handler(rota: CommandLine) -> None:
    arguments = ("--url", "http://127.0.0.1:9/x", "--method", "get", "--every", "1h", "--paused")

    rota.run("task", "add", "called", *arguments)

    task = rota.api.read("/v1/tasks/called")
    assert (task["handler"], task["status"]) == ("http", "paused")
    assert task["target"]["method"] == "GET"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--handler", "echo", "--manual"),
        ("name", "--manual"),
        ("name", "--handler", "echo"),
        ("name", "--handler", "echo", "--every", "1h", "--manual"),
        ("name", "--handler", "echo", "--manual", "--method", "GET"),
        ("name", "--handler", "echo", "--every", "1 fortnight"),
        ("name", "--handler", "echo", "--manual", "--input", "@/does/not/exist"),
    ],
)
def test_what_is_no_task_is_refused(rota: CommandLine, arguments: tuple[str, ...]) -> None:
    ended = rota.run("task", "add", *arguments, code=2)

    assert ended.stderr.startswith("rota: ")


def test_a_dry_run_of_one_task_shows_its_fire_times(rota: CommandLine) -> None:
    shown = rota.text("task", "add", "tried", "--handler", "echo", "--every", "1d", "--dry-run")

    assert shown.startswith("+ tried  created\n")
    assert "fire times until" in shown
    rota.run("task", "show", "tried", code=4)


def test_lists_have_filters_and_say_if_there_is_more(rota: CommandLine) -> None:
    for name in ("list-a", "list-b", "list-c"):
        rota.api.task(name, tags=["listed"])

    cut = rota.run("task", "list", "--tag", "listed", "-n", "2")
    every = rota.json("task", "list", "--name-prefix", "list-", "--all")
    none = rota.run("task", "list", "--tag", "nobody")

    assert [line.split()[:3] for line in cut.stdout.splitlines()] == [
        ["NAME", "STATUS", "SCHEDULE"],
        ["list-a", "active", "manual"],
        ["list-b", "active", "manual"],
    ]
    assert "--all shows all" in cut.stderr
    assert [each["name"] for each in every] == ["list-a", "list-b", "list-c"]
    assert (none.stdout, none.stderr) == ("", "There are no such tasks.\n")


def test_a_task_is_shown_in_lines(rota: CommandLine) -> None:
    rota.api.task("shown", input={"a": [1]}, description="What\u001b[31m", tags=["t"])

    shown = rota.text("task", "show", "shown")

    assert "status        active\n" in shown
    assert 'input         {"a": [1]}\n' in shown
    assert "\u001b" not in shown
    assert rota.json("task", "show", "shown")["description"] == "What\u001b[31m"


def test_verbs_are_applied_to_each_name_and_what_fails_keeps_no_other_from_it(
    rota: CommandLine,
) -> None:
    rota.api.task("verb-a")
    rota.api.task("verb-b")

    paused = rota.run("task", "pause", "verb-a", "nobody", "verb-b", "--reason", "why", code=4)

    assert paused.stdout == "The task verb-a is paused.\nThe task verb-b is paused.\n"
    assert paused.stderr == "rota: nobody: There is no task 'nobody'.\n"
    assert rota.api.read("/v1/tasks/verb-a")["status_reason"] == "why"
    assert rota.json("task", "resume", "verb-a") == [{"name": "verb-a", "result": "resumed"}]
    rota.run("task", "cancel", "verb-a")
    rota.run("task", "resume", "verb-a", code=5)
    rota.run("task", "delete", "verb-a", code=2)
    rota.run("task", "delete", "verb-a", "verb-b", "--yes")
    rota.run("task", "show", "verb-b", code=4)


def test_a_selector_is_previewed_and_needs_a_yes(rota: CommandLine) -> None:
    for name in ("many-a", "many-b"):
        rota.api.task(name, tags=["many"])

    preview = rota.json("task", "pause", "-l", "tag=many", "--dry-run")
    unasked = rota.run("task", "pause", "-l", "tag=many", code=2)
    paused = rota.text("task", "pause", "-l", "tag=many", "-y")

    assert (preview["matched"], preview["changed"]) == (2, 2)
    assert "would be paused" in unasked.stderr
    assert "give --yes to do it" in unasked.stderr
    assert paused == "2 match: 2 paused, 0 unchanged.\n"
    assert rota.api.names("tag=many&status=paused") == ["many-a", "many-b"]


def test_a_verb_needs_names_or_a_selector(rota: CommandLine) -> None:
    rota.run("task", "pause", code=2)
    rota.run("task", "pause", "a", "-l", "all", code=2)
    rota.run("task", "pause", "-l", "colour=red", code=2)


def test_an_export_is_imported_again_tasks_behind_those_that_they_name(
    rota: CommandLine, tmp_path: Path
) -> None:
    rota.api.task("move-z", input=1, paused=True)
    rota.api.task("move-b", schedule={"type": "after", "tasks": ["move-z"]})
    rota.api.task("move-a", schedule={"type": "after", "tasks": ["move-b"]})
    file = tmp_path / "tasks.jsonl"
    rota.run("task", "export", "-l", "name_prefix=move-", "-o", str(file))
    rota.run("task", "delete", "-l", "name_prefix=move-", "--yes")

    imported = rota.json("task", "import", str(file))
    again = rota.run("task", "import", str(file), code=1)
    kept = rota.text("task", "import", "-", "--on-conflict", "keep", stdin=file.read_text())

    assert (imported["created"], imported["failed"]) == (3, 0)
    assert rota.api.read("/v1/tasks/move-z")["status"] == "paused"
    assert "3 failed." in again.stdout
    assert f"rota: {file}, line 3 (move-z): " in again.stderr
    assert kept == "3 kept.\n"


def test_only_the_tasks_that_are_refused_are_left_out_of_an_import(
    rota: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "tasks.jsonl"
    tasks = [
        {"name": f"part-{number}", "handler": handler, "schedule": {"type": "manual"}}
        for number, handler in enumerate(["echo", "echo", "nobody", "echo"])
    ]
    file.write_text("".join(f"{json.dumps(task)}\n" for task in tasks))

    ended = rota.run("task", "import", str(file), code=1)

    assert ended.stdout == "3 created, 1 failed.\n"
    assert "line 3 (part-2): /handler: no handler is called 'nobody'" in ended.stderr
    assert rota.api.names("name_prefix=part-") == ["part-0", "part-1", "part-3"]


def test_what_is_no_export_is_refused_with_its_line(rota: CommandLine) -> None:
    assert (
        "line 2 is no JSON object"
        in rota.run("task", "import", "-", code=2, stdin="{}\nx\n").stderr
    )


def test_every_field_that_only_the_service_sets_is_left_out_of_an_export() -> None:
    schemas = openapi_document()["components"]["schemas"]
    read = schemas["ListedTaskOut"]["properties"].keys()
    written = schemas["DeclaredTaskIn"]["properties"].keys()

    assert read - written == SET_BY_THE_SERVICE


def test_a_task_is_explained_and_counted(rota: CommandLine) -> None:
    rota.api.task("explained")
    rota.api.ended(rota.api.run("explained", input=1))

    assert rota.text("explain", "explained").startswith("not_scheduled (manual): ")
    assert (
        rota.json("explain", "explained", "--at", "2026-01-01")["verdict"] == "before_registration"
    )
    assert rota.json("stats", "explained")["runs"]["total"] == 1
    assert "success rate        100.0 %\n" in rota.text("stats", "explained", "--window", "1h")
    assert rota.json("stats", "--tag", "nobody")["runs"]["total"] == 0


def test_an_import_prints_warnings_up_to_twenty(rota: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    odd = {"handler": "echo", "schedule": {"type": "manual"}, "on_failure": {"task": "nobody"}}
    file.write_text("\n".join(json.dumps(odd | {"name": f"odd-{n}"}) for n in range(23)))

    ended = rota.run("task", "import", str(file))

    lines = ended.stderr.splitlines()
    warnings = [line for line in lines if line.startswith("Warning: odd-")]
    assert len(warnings) == 20
    assert "odd-0 (notified_missing): /on_failure/task: task 'nobody'" in warnings[0]
    assert "3 more warnings. See: rota explain TASK" in lines
    assert ended.stdout == "23 created.\n"
