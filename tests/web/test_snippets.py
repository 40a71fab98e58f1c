"""A task as curl, Python and YAML: each of them declares the same task again."""

import ast
import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from rota.domain.tasks.definition import TaskDefinition
from rota.sdk.tasks import declared
from rota.web.snippets.definitions import definition_of
from rota.web.snippets.programs import as_client, as_command, as_crontab, as_curl, as_handler
from rota.web.snippets.yaml_text import as_yaml
from tests.api.service import Api, serving

AWKWARD = {
    "it's": ["\\'; rm -rf ~ #", '"$HOME`id`"', "\u2028\x7f{{ 7 }}", "line\nline", "😀"],
    "yes": [True, None, 1e22, -1e-7, 2**60, 1.5, {}, []],
    "": {"on": "off", "a: b": "- x", "~": "null"},
}
TASKS: dict[str, dict[str, Any]] = {
    "awkward": {"handler": "echo", "schedule": {"type": "manual"}, "input": AWKWARD},
    "cron": {
        "handler": "greet",
        "input": {"name": "Ada"},
        "schedule": {"type": "cron", "expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"},
        "retry": {"max_attempts": 7},
        "tags": ["billing"],
        "kv_history": 0,
    },
    "call": {
        "handler": "http",
        "target": {
            "url": "https://example.com/hook",
            "headers": {"authorization": "Bearer s3cr3t", "accept": "*/*"},
        },
        "schedule": {"type": "interval", "every": "15m", "anchor": "2026-01-01T00:00:00Z"},
    },
}


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    with serving(another_database("sqlite")) as service:
        for name, fields in TASKS.items():
            service.task(name, **fields)
        yield service


def definition(api: Api, name: str) -> dict[str, Any]:
    return definition_of(api.read(f"/v1/tasks/{name}"))


@pytest.mark.parametrize("name", TASKS)
def test_curl_declares_the_task_as_it_is(api: Api, name: str) -> None:
    command = as_curl(f"http://localhost/v1/tasks/{name}", definition(api, name), with_key=False)

    words = shlex.split(command.replace("\\\n", " "))
    assert words[:4] == ["curl", "-X", "PUT", f"http://localhost/v1/tasks/{name}"]
    assert words[4:7] == ["-H", "content-type: application/json", "--data-raw"]
    answer = api.put(
        words[3].removeprefix("http://localhost"),
        content=words[7].encode(),
        headers={"content-type": "application/json"},
    )
    assert answer.json()["outcome"] == "unchanged", answer.text
    assert "s3cr3t" not in command


def arguments(program: str, function: str) -> dict[str, Any]:
    """Return the arguments by name of the only call of a function in a program."""
    calls = [each for each in ast.walk(ast.parse(program)) if isinstance(each, ast.Call)]
    [call] = [each for each in calls if ast.unparse(each.func) == function]
    return {each.arg or "": ast.literal_eval(each.value) for each in call.keywords}


@pytest.mark.parametrize("name", TASKS)
def test_python_has_the_same_definition(api: Api, name: str) -> None:
    expected = definition(api, name)

    program = as_client("http://localhost", name, expected, with_key=True)

    assert arguments(program, f"rota.task({name!r}).declare") == expected


@pytest.mark.parametrize("name", TASKS)
def test_a_handler_registers_the_same_definition(api: Api, name: str) -> None:
    expected = definition(api, name)

    given = arguments(as_handler(name, expected), "ctx.tasks.register")

    own = {each: given.pop(each) for each in ("name", "handler", "schedule")}
    made = declared(**own, on_conflict="update", fields=given)
    assert made.name == name
    read = TaskDefinition.model_validate(expected)
    assert made.definition.model_dump(exclude_unset=True) == read.model_dump(exclude_unset=True)


@pytest.mark.parametrize("name", TASKS)
def test_yaml_has_the_same_definition(api: Api, name: str) -> None:
    expected = definition(api, name)

    read = yaml.safe_load(as_yaml(name, expected))

    assert json.dumps(read) == json.dumps({"tasks": [{"name": name, **expected}]})


@pytest.mark.parametrize("name", TASKS)
def test_the_command_line_applies_that_file(api: Api, name: str) -> None:
    expected = definition(api, name)

    text = as_command("http://localhost", name, expected)

    first, _, rest = text.partition("\n")
    assert first == "rota --url http://localhost apply -f - <<'EOF'"
    assert rest.partition("EOF\n")[0] == as_yaml(name, expected)
    assert text.endswith(f"task run {name} --wait\n")


@pytest.mark.parametrize(
    ("schedule", "when"),
    [
        ({"type": "cron", "expression": "0 9 * * 1-5"}, "0 9 * * 1-5"),
        ({"type": "cron", "expression": "@daily"}, "@daily"),
        ({"type": "cron", "expression": "*/5 0 9 * * *"}, "0 * * * *"),
        ({"type": "manual"}, "0 * * * *"),
    ],
)
def test_a_crontab_runs_the_task(schedule: dict[str, str], when: str) -> None:
    line = as_crontab("http://h/a%20b/v1/tasks/x", {"schedule": schedule}, with_key=False)

    expected = f"{when} curl -fsS -m 30 -o /dev/null -X POST 'http://h/a\\%20b/v1/tasks/x/run'"
    assert line.strip().replace("'", "") == expected.replace("'", "")
    with_key = as_crontab("http://h/v1/tasks/x", {"schedule": schedule}, with_key=True)
    assert with_key.startswith("ROTA_KEY=")
    assert "Bearer $ROTA_KEY" in with_key


def test_only_what_differs_from_the_defaults_is_written(api: Api) -> None:
    found = definition(api, "cron")

    assert set(found) == {"handler", "input", "schedule", "retry", "tags", "kv_history", "timeout"}


def test_a_secret_input_is_left_out() -> None:
    task = {"handler": "echo", "schedule": {"type": "manual"}, "secret_input": True, "input": None}

    assert "input" not in definition_of(task)


def test_with_keys_curl_takes_one_from_the_environment() -> None:
    assert "$ROTA_KEY" in as_curl("http://h/", {}, with_key=True)
