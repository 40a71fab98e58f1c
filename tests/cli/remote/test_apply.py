"""`rota apply`: the tasks of files, what would change, whose they are, and what is pruned."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rota.cli.remote.service import Service
from tests.cli.remote.command import CommandLine

MANUAL = {"type": "manual"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tasks.yaml"


def write(file: Path, *tasks: dict[str, Any], **fields: Any) -> str:
    """Write a file with tasks, which are manual by default; return its path. YAML reads JSON."""
    defaults = {"handler": "echo", "schedule": MANUAL}
    file.write_text(json.dumps({"tasks": [defaults | each for each in tasks], **fields}))
    return str(file)


def generation(rota: CommandLine, name: str) -> Any:
    return rota.api.read(f"/v1/tasks/{name}")["generation"]


def test_tasks_of_a_file_are_created_and_applied_again_nothing_changes(
    rota: CommandLine, file: Path
) -> None:
    file.write_text(
        "owner: first\n"
        "tasks:\n"
        "  - name: first-load\n"
        "    handler: echo\n"
        "    schedule: {type: after, tasks: [first-night], on: [succeeded]}\n"
        "  - name: first-night\n"
        "    handler: echo\n"
        "    schedule: {type: calendar, unit: day, time: 10:00, timezone: Europe/Berlin}\n"
    )

    created = rota.json("apply", "-f", str(file))
    again = rota.json("apply", "-f", str(file))

    assert [each["name"] for each in created["items"]] == ["first-night", "first-load"]
    assert (created["applied"], created["created"], created["failed"]) == (True, 2, 0)
    assert created["items"][0]["fire_times"]["counts"]["appear"] > 80
    assert (again["applied"], again["unchanged"]) == (False, 2)
    assert generation(rota, "first-night") == generation(rota, "first-load") == 1
    assert rota.api.read("/v1/tasks/first-night")["tags"] == ["owner:first"]


def test_the_differences_are_shown_with_the_fire_times_that_move(
    rota: CommandLine, file: Path
) -> None:
    # Days away: else one of the two may have passed today.
    day = f"{datetime.now(UTC) + timedelta(days=3):%a}"
    nine, ten = (f"0 {hour} * * {day.lower()}" for hour in (9, 10))
    task: dict[str, Any] = {"name": "moved", "schedule": {"type": "cron", "expression": nine}}
    rota.run("apply", "-f", write(file, task))
    task["schedule"] = {"type": "cron", "expression": ten}
    task["timeout"] = 60

    shown = rota.text("apply", "-f", write(file, task), "--dry-run")

    assert f'    schedule.expression: "{nine}" → "{ten}"\n' in shown
    assert "    timeout: 300 → 60\n" in shown
    assert "fire times until 2" in shown
    assert f" move\n      ~ {day} 2" in shown
    assert f" 09:00 UTC → {day} 2" in shown
    assert shown.endswith("Plan: 0 to create, 1 to change, 0 to prune, 0 unchanged.\n")
    assert generation(rota, "moved") == 1


def test_a_dry_run_changes_nothing_and_can_say_by_its_exit_code_that_there_are_differences(
    rota: CommandLine, file: Path
) -> None:
    path = write(file, {"name": "dry"})

    rota.run("apply", "-f", path, "--dry-run")
    rota.run("apply", "-f", path, "--dry-run", "--exit-code", code=1)
    rota.run("task", "show", "dry", code=4)
    rota.run("apply", "-f", path)
    rota.run("apply", "-f", path, "--dry-run", "--exit-code")


def test_a_refused_task_is_named_with_its_place_and_nothing_is_applied(
    rota: CommandLine, file: Path
) -> None:
    path = write(file, {"name": "good"}, {"name": "bad", "handler": "nobody", "timeout": "x"})

    ended = rota.run("apply", "-f", path, code=2)

    assert "! bad  refused\n" in ended.stdout
    assert "tasks.yaml, task 2" in ended.stdout
    assert "Nothing is applied" in ended.stderr
    rota.run("task", "show", "good", code=4)


def test_a_task_behind_one_that_does_not_exist_yet_is_refused_at_its_own_place(
    rota: CommandLine, file: Path
) -> None:
    behind = {"name": "behind", "schedule": {"type": "after", "tasks": ["ahead"]}, "priority": "x"}

    shown = rota.text("apply", "-f", write(file, behind, {"name": "ahead"}), code=2)

    assert "! behind  refused\n    /priority: " in shown


def test_a_task_of_another_owner_is_refused_unless_it_is_taken_over(
    rota: CommandLine, file: Path
) -> None:
    rota.run("apply", "-f", write(file, {"name": "owned"}, owner="mine"))
    path = write(file, {"name": "owned", "timeout": 60}, owner="yours")

    refused = rota.run("apply", "-f", path, code=5)
    asked = rota.run("apply", "-f", path, "--take-over", code=2)
    rota.run("apply", "-f", path, "--take-over", "--yes")

    assert "it belongs to 'mine', and this is applied by 'yours'" in refused.stdout
    assert "give --yes" in asked.stderr
    assert rota.api.read("/v1/tasks/owned")["tags"] == ["owner:yours"]


def test_a_task_that_somebody_made_by_hand_is_refused_unless_it_is_taken_over(
    rota: CommandLine, file: Path
) -> None:
    rota.api.task("by-hand", tags=["a"])
    path = write(file, {"name": "by-hand", "tags": ["a"]})

    refused = rota.run("apply", "-f", path, code=5)
    taken = rota.json("apply", "-f", path, "--take-over", "--yes")

    assert "it has no owner" in refused.stdout
    assert taken["changed"] == 1
    assert rota.api.read("/v1/tasks/by-hand")["tags"] == ["a", "owner:apply"]


def test_an_owner_in_the_tags_of_a_task_holds_unless_another_is_given(
    rota: CommandLine, file: Path
) -> None:
    path = write(file, {"name": "tagged", "tags": ["owner:crew"]})

    refused = rota.run("apply", "-f", path, "--owner", "other", code=2)
    rota.run("apply", "-f", path)

    assert "has the tag 'owner:crew', but the owner is 'other'" in refused.stderr
    assert rota.api.read("/v1/tasks/tagged")["tags"] == ["owner:crew"]


def test_only_tasks_of_the_owner_that_the_selector_matches_are_pruned(
    rota: CommandLine, file: Path
) -> None:
    kept = {"name": "prune-a", "tags": ["p"]}
    gone = {"name": "prune-b", "tags": ["p"], "schedule": {"type": "interval", "every": "30d"}}
    rota.run("apply", "-f", write(file, kept, gone, {"name": "prune-c"}, owner="pruner"))
    rota.api.task("prune-d", tags=["p", "owner:somebody"])
    rota.api.task("prune-e", tags=["p"])
    path = write(file, kept, owner="pruner")

    rota.run("apply", "-f", path, "--prune", code=2)
    rota.run("apply", "-f", path, "--prune", "-l", "tag=p", code=2)
    shown = rota.text("apply", "-f", path, "--prune", "-l", "tag=p", "--yes")

    assert "- prune-b  pruned\n    its next fire times vanish: 2" in shown
    assert "1 to prune, 1 unchanged" in shown
    assert rota.api.names("name_prefix=prune-") == ["prune-a", "prune-c", "prune-d", "prune-e"]


def test_a_file_without_tasks_prunes_all_of_its_owner(rota: CommandLine, file: Path) -> None:
    rota.run("apply", "-f", write(file, {"name": "stays"}, owner="stayer"))
    rota.run("apply", "-f", write(file, {"name": "last-a"}, {"name": "last-b"}, owner="leaver"))

    rota.run("apply", "-f", write(file, owner="leaver"), "--prune", "-l", "all", "--yes")

    assert rota.api.names("name_prefix=last-") == []
    assert rota.api.names("tag=owner:stayer") == ["stays"]


def test_several_files_and_the_standard_input_are_applied_together(
    rota: CommandLine, file: Path
) -> None:
    path = write(file, {"name": "part-a"})

    twice = rota.run("apply", "-f", path, "-f", path, code=2)
    text = "name: part-b\nhandler: echo\nschedule: {type: manual}\n"
    applied = rota.json("apply", "-f", path, "-f", "-", stdin=text)

    assert "'part-a' is declared twice, first in " in twice.stderr
    assert applied["created"] == 2


def test_what_fails_is_reported_and_the_others_are_applied(
    rota: CommandLine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(file, {"name": "raced"}, {"name": "alone"}, {"name": "same"})
    rota.run("apply", "-f", path)
    path = write(
        file, {"name": "raced", "timeout": 60}, {"name": "alone", "timeout": 60}, {"name": "same"}
    )
    original = __import__("rota.cli.remote.apply.command", fromlist=["execute"]).execute

    def changed_first(*arguments: Any) -> Any:
        """Another client changes a task between the plan and its execution."""
        rota.api.patch("/v1/tasks/raced", json={"priority": 5})
        return original(*arguments)

    monkeypatch.setattr("rota.cli.remote.apply.command.execute", changed_first)

    applied = rota.json("apply", "-f", path, code=1)

    assert (applied["changed"], applied["unchanged"], applied["failed"]) == (2, 1, 1)
    assert [each["result"] for each in applied["items"]] == ["failed", "changed", "unchanged"]
    assert rota.api.read("/v1/tasks/raced")["timeout"] == 300
    assert rota.api.read("/v1/tasks/alone")["timeout"] == 60


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no tasks."),
        ("5", "has neither tasks nor a list of them."),
        ("tasks: 5", "'tasks' must be a list."),
        ("tasks: []\nowners: x", "there may be 'owner', not 'owners'."),
        ("tasks: []\nowner: [x]", "'owner' must be text."),
        ("- handler: echo", "task 1 needs a 'name'."),
        ("- {name: a, tags: b}", "task 1 (a): 'tags' must be a list of texts."),
    ],
)
def test_what_is_no_file_of_tasks_is_refused(
    rota: CommandLine, file: Path, text: str, words: str
) -> None:
    file.write_text(text)

    assert words in rota.run("apply", "-f", str(file), code=2).stderr


def test_many_tasks_are_compared_together_and_what_is_refused_among_them_is_named(
    rota: CommandLine, file: Path
) -> None:
    tasks: list[dict[str, Any]] = [{"name": f"crowd-{number:02}"} for number in range(25)]
    tasks[3]["schedule"] = {"type": "after", "tasks": ["crowd-20"]}
    created = rota.json("apply", "-f", write(file, *tasks))
    again = rota.json("apply", "-f", str(file))
    tasks[7]["timeout"] = 60
    changed = rota.json("apply", "-f", write(file, *tasks))
    tasks[8]["handler"] = "nobody"
    refused = rota.json("apply", "-f", write(file, *tasks), code=2)
    foreign = rota.json("apply", "-f", write(file, *tasks[:8], *tasks[9:], owner="x"), code=5)

    assert (created["created"], again["unchanged"]) == (25, 25)
    assert (changed["changed"], changed["unchanged"], changed["failed"]) == (1, 24, 0)
    assert rota.api.read("/v1/tasks/crowd-07")["generation"] == 2
    assert [each["name"] for each in refused["items"] if each["problem"]] == ["crowd-08"]
    assert foreign["refused"] == 24


def test_a_cycle_of_tasks_is_refused(rota: CommandLine, file: Path) -> None:
    one = {"name": "one", "schedule": {"type": "after", "tasks": ["two"]}}
    two = {"name": "two", "schedule": {"type": "after", "tasks": ["one"]}}

    rota.run("apply", "-f", write(file, one, two), code=2)


def test_the_owner_of_a_task_holds_however_much_differs(rota: CommandLine, file: Path) -> None:
    many = {f"a{number:03}": 1 for number in range(120)}
    rota.run("apply", "-f", write(file, {"name": "much", "input": many}, owner="mine"))
    other = dict.fromkeys(many, 2)

    path = write(file, {"name": "much", "input": other}, owner="yours")
    refused = rota.run("apply", "-f", path, code=5)

    assert "it belongs to 'mine'" in refused.stdout
    assert rota.api.read("/v1/tasks/much")["tags"] == ["owner:mine"]


def test_a_task_that_changes_while_many_are_compared_is_not_overwritten(
    rota: CommandLine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks: list[dict[str, Any]] = [{"name": f"race-{number:02}"} for number in range(25)]
    rota.run("apply", "-f", write(file, *tasks))
    tasks[0]["timeout"] = 60
    compared = Service.dry_run_all

    def changed_meanwhile(self: Service, bodies: Any) -> Any:
        answer = compared(self, bodies)
        monkeypatch.setattr(Service, "dry_run_all", compared)
        rota.api.task("race-00", priority=7, tags=["owner:other"])
        return answer

    monkeypatch.setattr(Service, "dry_run_all", changed_meanwhile)
    rota.run("apply", "-f", write(file, *tasks), code=5)

    assert rota.api.read("/v1/tasks/race-00")["priority"] == 7
