"""Which servers and tasks a secret is bound to."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from rota.domain.secrets.binding import permits, widens
from rota.domain.secrets.environment import Given, from_environment
from rota.domain.secrets.opened import OpenedSecret
from rota.domain.secrets.origins import Origins, origin_of
from rota.errors import Invalid

ORIGINS: TypeAdapter[tuple[str, ...]] = TypeAdapter(Origins)


def secret(*origins: str, tasks: tuple[str, ...] = ("*",)) -> OpenedSecret:
    return OpenedSecret("crm", "s" * 8, origins=origins, tasks=tasks)


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://api.example.com/a/b?c={{ input.c }}", "https://api.example.com"),
        ("https://API.Example.com:443", "https://api.example.com"),
        ("https://api.example.com:8443/", "https://api.example.com:8443"),
        ("http://[0:0:0:0:0:0:0:1]:80/x", "http://[::1]"),
        ("https://api.example.com.", None),
        ("https://127。0。0。1/", None),
        ("https://münchen.example/", None),
        ("https://[fe80::1%25lo]/", None),
        ("https://api.example.com\\@evil.example/", None),
        ("https://api.example.com:99999/", None),
        ("https://api .example.com/", None),
        ("ftp://api.example.com/", None),
    ],
)
def test_an_origin_has_one_spelling_and_a_doubtful_host_has_none(
    given: str, origin: str | None
) -> None:
    assert origin_of(given) == origin


@pytest.mark.parametrize(
    "given",
    [
        "https://api.example.com/path",
        "https://user:password@api.example.com",
        "https://api.example.com?",
        "https://api.example.com#",
        "https://*.example.com",
        "api.example.com",
        "http://api.example.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "https://",
        "https://api.example.com ",
    ],
)
def test_what_is_no_origin_is_refused_without_quoting_it(given: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ORIGINS.validate_python([given])

    messages = [each["msg"] for each in refused.value.errors()]
    assert messages
    assert [text for text in messages if "password" in text] == []


@pytest.mark.parametrize(
    "given", ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:1", "http://app.localhost"]
)
def test_http_is_for_this_machine_only(given: str) -> None:
    assert ORIGINS.validate_python([f"{given}/"]) == (given,)


@pytest.mark.parametrize(
    ("origin", "task", "why"),
    [
        ("https://a.example", "billing-1", None),
        ("https://a.example", "billing-", None),
        ("https://a.example", "report", None),
        ("https://a.example", "reports", "is for tasks called billing-* and report, not for"),
        ("https://a.example:8443", "report", "may be sent to https://a.example, not to"),
        ("http://a.example", "report", "may be sent to https://a.example, not to"),
        (None, "report", "may be sent to https://a.example, not to this host"),
    ],
)
def test_a_secret_is_for_its_servers_and_its_tasks(
    origin: str | None, task: str, why: str | None
) -> None:
    found = permits(secret("https://a.example", tasks=("billing-*", "report")), origin, task)

    assert found == why if why is None else why in str(found)


@pytest.mark.parametrize(
    ("origins", "tasks", "more"),
    [
        (("https://a.example",), ("a-*", "b"), False),
        (("https://a.example",), ("a-b*", "a-c"), False),
        (("https://b.example",), ("b",), True),
        (("https://a.example",), ("a*",), True),
        (("https://a.example",), ("b*",), True),
        (("https://a.example",), ("*",), True),
    ],
)
def test_more_servers_or_tasks_than_before_is_more(
    origins: tuple[str, ...], tasks: tuple[str, ...], more: bool
) -> None:
    assert widens(secret("https://a.example", tasks=("a-*", "b")), origins, tasks) is more


@pytest.mark.parametrize(
    ("change", "variable"),
    [
        ({"value": "short"}, "ROTA_SECRET_CRM"),
        ({"value": "hunter2-and-more\n-----"}, "ROTA_SECRET_CRM"),
        ({"origins": ("http://api.example.com",)}, "ROTA_SECRET_CRM_ORIGINS"),
        ({"tasks": ("-",)}, "ROTA_SECRET_CRM_TASKS"),
    ],
)
def test_a_wrong_secret_of_the_environment_is_refused_by_its_variable(
    change: dict[str, Any], variable: str
) -> None:
    whole = {"value": "hunter2-and-more", "origins": ("https://a.example",), "tasks": ("*",)}
    given = Given(variable="ROTA_SECRET_CRM", name="crm", **whole | change)

    with pytest.raises(Invalid, match=rf"^{variable}: ") as refused:
        from_environment([given])

    assert "hunter2" not in refused.value.detail
