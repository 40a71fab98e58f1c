"""A task as curl, Python and YAML: each of them declares the same task again."""

import ast
import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from rota.web.snippets import as_curl, as_python, as_yaml, definition_of
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
        for name, members in TASKS.items():
            service.task(name, **members)
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


@pytest.mark.parametrize("name", TASKS)
def test_python_has_the_same_definition(api: Api, name: str) -> None:
    expected = definition(api, name)

    program = ast.parse(as_python("http://localhost/v1/tasks/x", expected, with_key=True))

    [call] = [
        each
        for each in ast.walk(program)
        if isinstance(each, ast.Call) and ast.unparse(each.func) == "httpx.put"
    ]
    body = next(each.value for each in call.keywords if each.arg == "json")
    assert ast.literal_eval(body) == expected


@pytest.mark.parametrize("name", TASKS)
def test_yaml_has_the_same_definition(api: Api, name: str) -> None:
    expected = definition(api, name)

    read = yaml.safe_load(as_yaml(name, expected))

    assert json.dumps(read) == json.dumps({"name": name, **expected})


def test_only_what_differs_from_the_defaults_is_written(api: Api) -> None:
    found = definition(api, "cron")

    assert set(found) == {"handler", "input", "schedule", "retry", "tags", "kv_history", "timeout"}


def test_a_secret_input_is_left_out() -> None:
    task = {"handler": "echo", "schedule": {"type": "manual"}, "secret_input": True, "input": None}

    assert "input" not in definition_of(task)


def test_with_keys_curl_takes_one_from_the_environment() -> None:
    assert "$ROTA_KEY" in as_curl("http://h/", {}, with_key=True)
