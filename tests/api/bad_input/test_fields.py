"""Wrong fields of bodies: a 422 problem that points at each fault, and nothing is stored."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.bad_input.requests import GREET, HTTP, JSON, TASK, on_both, post
from tests.api.service import MANUAL, Api, pointers, problem
from tests.support.factories import eventually

HUGE = 10**400
NO_ID = "01936e7a-0000-7000-8000-000000000000"
RESERVED = ["batch", "pause", "resume", "cancel", "run", "delete", "export", "import"]
NO_DURATIONS: list[Any] = [
    *(-1, "-5s", "-PT5S", "", "5", "5 m", "5M", "1w", "P1W", "P1M", "P1Y", "PT", "P", "1 month"),
    *("1h 30m", "30m1h", "\u0663s", "1e3s", "infinity", HUGE, -HUGE, 1e308, True, [], {}, "101y"),
    *("36501d", "9" * 50 + "s"),
]
NO_ZONES: list[Any] = [
    *("Mars/Base", "", "utc+1", "+01:00", "CEST", "../../etc/passwd", "/etc/localtime"),
    *("Europe/berlin", "{0}", 5, "x" * 301, "localtime", "Factory", "posixrules"),
    *("posix/Europe/Berlin", "right/Europe/Berlin", "leapseconds"),
]

# Values that a field cannot have, by the pointer to it; what is beside it is right.
WRONG: dict[str, list[Any]] = {
    "/handler": ["nobody", "", None, 7, "x" * 129, "echo\n"],
    "/name": ["", "a b", ".a", "\xfc", "a/b", "a\n", "x" * 129, 7, *RESERVED],
    "/queue": ["", "a b", "run", None, 7],
    "/tags": [[str(number) for number in range(33)], "a", {"a": 1}, None],
    "/priority": [32_768, -32_769, 1.5, HUGE, "high", True, "5", None],
    "/paused": ["yes", 1, None],
    "/description": ["x" * 2_001, 5, ["x"], None],
    "/timeout": [0, "0s", None, *NO_DURATIONS],
    "/retry": [None, [], "often"],
    "/retry/initial_interval": [None, *NO_DURATIONS],
    "/retry/max_interval": ["1w"],
    "/retry/max_elapsed": NO_DURATIONS,
    "/retry/max_attempts": [0, 1_001, None, 1.5, "3", True, HUGE],
    "/retry/backoff": ["random", None, 1],
    "/retry/multiplier": [0.5, 101, HUGE, "2", None, True],
    "/retry/jitter": ["some", None, 1],
    "/retention": [None, 5],
    "/retention/runs": [0, 100_001, None],
    "/retention/age": ["1 year", -1, None],
    "/schedule": [None, "daily", []],
    "/overlap_policy": ["queue", None],
    "/misfire_policy": ["run_some", None],
    "/misfire_grace": [0, 0.5, *NO_DURATIONS],
    "/delete_after": NO_DURATIONS,
    "/concurrency": [5, "key"],
    "/concurrency/key": ["", "not a name", None],
    "/constraints": [{}, None, "idle"],
    # Unknown fields, at every level, and fields of later versions.
    **{pointer: [1] for pointer in ["/unknown", "/a~1b~0", "/retry/attempts", "/retention/days"]},
    "/on_failure": [5, "of", []],
    "/on_failure/task": ["", "a b", None, 7],
    "/on_late": [5, "of"],
    "/expect_every": NO_DURATIONS,
    "/kv": [None, 5, ["cursor"]],
}
ONCE = {"type": "once"}
EVERY_MINUTE = {"type": "interval", "every": 60}
DAILY = {"type": "cron", "expression": "@daily"}
LOCAL = {"type": "once", "timezone": "Asia/Tokyo"}
WRONG_SCHEDULES: list[tuple[dict[str, Any], str, list[Any]]] = [
    ({}, "/type", ["sometimes", None, 5, "lunar"]),
    ({"type": "manual"}, "/jitter", [5]),
    ({"type": "manual"}, "/at", ["2999-01-01T00:00:00Z"]),
    (
        ONCE,
        "/at",
        [
            *("2999-12-24T17:30:00", "2999-12-24", "tomorrow", "", "2999-13-01T00:00:00Z"),
            *("2999-02-30T00:00:00Z", "2999-12-24T25:00:00Z", "2999-12-24T17:30:00+25:00"),
            *("2999-12-24T17:30Z", "2001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "29990-01-01T00:00:00Z"),
            *("2999-12-24T17:30:00.1234567890Z", 1_700_000_000, [], {}, True),
        ],
    ),
    (
        LOCAL,
        "/at",
        [
            *("2999-12-24T17:30:00Z", "2999-12-24T17:30:00+09:00", "2999-12-24", 5),
            *("2001-01-01T00:00:00", "0001-01-01T00:00:00", "2999-02-30T00:00:00"),
        ],
    ),
    (LOCAL | {"timezone": "America/New_York"}, "/at", ["9999-12-31T23:59:59"]),
    (ONCE | {"at": "2999-01-01T00:00:00"}, "/timezone", NO_ZONES),
    (ONCE, "/delay", NO_DURATIONS),
    ({"type": "interval"}, "/every", [0, 0.999, None, *NO_DURATIONS]),
    (EVERY_MINUTE, "/anchor", ["2999-01-01T00:00:00", 5, "2999-02-30T00:00:00Z"]),
    (EVERY_MINUTE, "/mode", ["fixed", None]),
    (EVERY_MINUTE, "/flex", [61, *NO_DURATIONS]),
    (DAILY, "/timezone", [*NO_ZONES, None]),
    (
        DAILY,
        "/expression",
        [
            *("0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * * *", "* * * * * * *", "60 * * * *"),
            *("* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "5-1 * * * *"),
            *("a * * * *", "", " ", "@reboot", "@never", "* * * * *;rm", "0 0 0 * * * 2026"),
            *("x" * 400, "61 * * * * *", "\u0660 * * * *", 5, None, ["* * * * *"]),
        ],
    ),
]


def put_at(pointer: str, value: Any, base: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `value` at the pointer."""
    head, _, rest = pointer[1:].partition("/")
    name = head.replace("~1", "/").replace("~0", "~")
    return base | {name: put_at(f"/{rest}", value, base.get(name, {})) if rest else value}


def cases() -> Iterator[Any]:
    for pointer, wrong in WRONG.items():
        for value in wrong:
            yield pytest.param(put_at(pointer, value, {}), pointer, id=f"{pointer}={value!r:.20}")
    for base, field, wrong in WRONG_SCHEDULES:
        for value in wrong:
            schedule = put_at(field, value, base)
            name = f"{base.get('type')}{field}={value!r:.20}"
            yield pytest.param({"schedule": schedule}, f"/schedule{field}", id=name)


def check_refused(refused: Any, pointer: str) -> None:
    assert refused.status_code == 422, refused.text
    slug = refused.json()["type"].removeprefix("/problems/")
    assert slug in {"invalid", "unknown-handler", "time-in-the-past"}
    assert pointers(refused) == [pointer], refused.text
    assert refused.json()["detail"].startswith(f"{pointer}: " if pointer else "")


@pytest.mark.parametrize(("fields", "pointer"), list(cases()))
def test_an_error_of_a_wrong_field_points_at_it(
    api: Api, fields: dict[str, Any], pointer: str
) -> None:
    check_refused(post(api, TASK | fields), pointer)
    if pointer != "/name":
        check_refused(api.put("/v1/tasks/bad", json=TASK | fields), pointer)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"id": "x"}, "/id"),
        ({"status": "active"}, "/status"),
        ({"next_fire_at": "2999-01-01T00:00:00Z"}, "/next_fire_at"),
        ({"tags": ["a", ""]}, "/tags/1"),
        ({"tags": ["a b"]}, "/tags/0"),
        ({"tags": ["a,b"]}, "/tags/0"),
        ({"tags": ["x" * 65]}, "/tags/0"),
        ({"schedule": {}}, "/schedule/type"),
        ({"schedule": ONCE}, "/schedule"),
        ({"schedule": ONCE | {"at": "2999-01-01T00:00:00Z", "delay": 5}}, "/schedule"),
        ({"schedule": ONCE | {"delay": 5, "timezone": "UTC"}}, "/schedule"),
        ({"schedule": {"type": "interval"}}, "/schedule/every"),
        ({"schedule": {"type": "cron"}}, "/schedule/expression"),
        ({"target": {"url": "http://127.0.0.1:9/"}}, "/target"),
        ({"target": {}}, "/target/url"),
    ],
)
def test_errors_of_fields_that_exclude_each_other_have_pointers(
    api: Api, fields: dict[str, Any], pointer: str
) -> None:
    check_refused(post(api, TASK | fields), pointer)


@pytest.mark.parametrize(
    ("target", "pointer"),
    [
        (None, "/target"),
        ("http://127.0.0.1", "/target"),
        ({"url": "ftp://127.0.0.1/"}, "/target/url"),
        ({"url": "//127.0.0.1/"}, "/target/url"),
        ({"url": "http:///x"}, "/target/url"),
        ({"url": "http://user:pass@127.0.0.1/"}, "/target/url"),
        ({"url": "http://127.0.0.1:99999/"}, "/target/url"),
        ({"url": "http://[::1/"}, "/target/url"),
        ({"url": "http://a b/"}, "/target/url"),
        ({"url": "http://127.0.0.1/\r\nX: 1"}, "/target/url"),
        ({"url": 7}, "/target/url"),
        ({"url": "http://127.0.0.1/" + "x" * 9_000}, "/target/url"),
        ({"method": "CONNECT"}, "/target/method"),
        ({"method": "get"}, "/target/method"),
        ({"timeout": 0}, "/target/timeout"),
        ({"timeout": "1w"}, "/target/timeout"),
        ({"headers": {"Host": "x"}}, "/target/headers/Host"),
        ({"headers": {"A": "b\r\nC: d"}}, "/target/headers/A"),
        ({"headers": {"A": "日本"}}, "/target/headers/A"),
        ({"headers": {"A": 5}}, "/target/headers/A"),
        ({"headers": []}, "/target/headers"),
        ({"success_codes": []}, "/target/success_codes"),
        ({"success_codes": ["6xx"]}, "/target/success_codes/0"),
        ({"success_codes": [2]}, "/target/success_codes/0"),
        ({"retry_codes": [True]}, "/target/retry_codes/0"),
        ({"query": {"a": []}}, "/target/query/a"),
        ({"query": {"a": None}}, "/target/query/a"),
        ({"async": "later"}, "/target/async"),
        ({"async": True, "follow_redirects": 1}, "/target/follow_redirects"),
        ({"kv_set": ["cursor"]}, "/target/kv_set"),
        ({"kv": {"cursor": 1}}, "/target/kv"),
        ({"auth": "Bearer x"}, "/target/auth"),
        ({"auth": {"type": "digest"}}, "/target/auth/type"),
        ({"auth": {"type": "bearer"}}, "/target/auth/token"),
        ({"auth": {"type": "bearer", "token": "sk_live"}}, "/target/auth/token"),
        ({"auth": {"type": "bearer", "token": "{{ secret }}"}}, "/target/auth/token"),
        (
            {"auth": {"type": "basic", "username": "a:b", "password": "{{ secret.x }}"}},
            "/target/auth/username",
        ),
        (
            {
                "auth": {"type": "bearer", "token": "{{ secret.x }}"},
                "headers": {"AUTHORIZATION": "x"},
            },
            "/target/auth",
        ),
        ({"signature": "whsec_x"}, "/target/signature"),
        ({"signature": {}}, "/target/signature/secret"),
        ({"signature": {"secret": "A b"}}, "/target/signature/secret"),
    ],
)
def test_errors_of_wrong_targets_have_pointers(api: Api, target: Any, pointer: str) -> None:
    shown = {"url": "http://127.0.0.1:9/"} | target if isinstance(target, dict) else target

    refused = post(api, HTTP | {"target": shown})

    problem(refused, 422, "invalid")
    assert set(pointers(refused)) == {pointer}, refused.text


def test_a_header_that_cannot_be_named_is_refused(api: Api) -> None:
    refused = post(api, HTTP | {"target": {"url": "http://127.0.0.1:9/", "headers": {"a b": "c"}}})

    problem(refused, 422, "invalid")
    assert pointers(refused)[0] in {"/target/headers", "/target/headers/a b"}


@pytest.mark.parametrize(
    ("input", "expected"),
    [
        ({}, ["/input"]),
        ({"name": ""}, ["/input/name"]),
        ({"name": 5}, ["/input/name"]),
        ({"name": "x" * 21, "times": 0}, ["/input/name", "/input/times"]),
        ({"name": "Ada", "extra/~": 1}, ["/input"]),
        (None, ["/input"]),
        ("Ada", ["/input"]),
        ([1], ["/input"]),
    ],
)
def test_errors_of_an_input_that_the_handler_refuses_have_pointers(
    api: Api, input: Any, expected: list[str]
) -> None:
    for refused in (
        post(api, GREET | {"input": input}),
        post(api, {"input": input}, "/v1/tasks/t/run"),
        api.patch("/v1/tasks/t", json={"input": input}) if isinstance(input, str | list) else None,
    ):
        if refused is not None:
            problem(refused, 422, "invalid-input")
            assert sorted(pointers(refused), key=str) == expected


@pytest.mark.parametrize("body", [None, [], "text", 7, True, [TASK]])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/tasks"),
        ("PUT", "/v1/tasks/bad"),
        ("POST", "/v1/tasks/batch"),
        ("PUT", "/v1/tasks/t/kv/a"),
    ],
)
def test_a_body_that_is_no_object_is_refused(api: Api, method: str, path: str, body: Any) -> None:
    refused = api.call(method, path, json=body)

    problem(refused, 422, "invalid")
    assert pointers(refused) == [""]


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/tasks/batch"])
def test_a_missing_body_is_refused(api: Api, path: str) -> None:
    problem(api.post(path), 422, "invalid")
    problem(api.post(path, content=b"", headers=JSON), 422, "invalid")


@on_both
def test_several_faults_are_all_pointed_at(api: Api) -> None:
    body = {"handler": "", "priority": "x", "schedule": {"type": "cron", "timezone": "x"}, "z": 1}

    refused = post(api, body)

    found = set(pointers(refused))
    assert found == {"/handler", "/priority", "/schedule/expression", "/schedule/timezone", "/z"}


def test_a_misspelt_handler_is_reported_with_the_errors_that_it_causes(api: Api) -> None:
    target = {"url": "http://127.0.0.1:9/"}
    body = {"handler": "htpp", "target": target, "schedule": MANUAL}

    for refused, at in (
        (post(api, body), ""),
        (api.put("/v1/tasks/bad", json=body), ""),
        (post(api, {"items": [TASK, body]}, "/v1/tasks/batch"), "/items/1"),
        (api.patch("/v1/tasks/t", json={"handler": "htpp", "target": target}), ""),
    ):
        problem(refused, 422, "invalid")
        assert pointers(refused) == [f"{at}/handler", f"{at}/target"]
        assert "did you mean 'http'?" in refused.json()["detail"]


def test_an_error_of_a_misspelt_handler_suggests_the_nearest_name(api: Api) -> None:
    for refused in (
        post(api, {"handler": "greeet", "schedule": MANUAL}),
        post(api, {"items": [{"handler": "greeet", "schedule": MANUAL}]}, "/v1/tasks/batch"),
    ):
        detail = problem(refused, 422, "unknown-handler")["detail"]
        assert detail.endswith("did you mean 'greet'?")


@on_both
@pytest.mark.parametrize(
    ("patch", "pointer", "expected"),
    [
        ({"handler": "http"}, "", "with this patch, target of the task is wrong: "),
        ({"schedule": {"type": "interval", "interval": "5m"}}, "/schedule/every", "required"),
        ({"schedule": {"every": "5m"}}, "/schedule/every", "not known"),
        ({"schedule": None}, "/schedule", "required"),
        ({"schedule": "@daily"}, "/schedule", '{"type": "cron", "expression": "@daily"}'),
        ({"retry": {"max_attempts": 0}}, "/retry/max_attempts", "at least 1"),
        ({"retry": 5}, "/retry", "give an object"),
        ({"tags": ["a b"]}, "/tags/0", "1 to 64 letters"),
        ({"prioritty": 1}, "/prioritty", "did you mean 'priority'?"),
    ],
)
def test_errors_of_a_wrong_patch_point_into_the_patch(
    api: Api, patch: dict[str, Any], pointer: str, expected: str
) -> None:
    refused = api.patch("/v1/tasks/t", json=patch)

    found = problem(refused, 422, "invalid")["errors"]
    assert found[0]["pointer"] == pointer
    assert expected in found[0]["detail"]


@on_both
# -------------------------------------------------------------------------------------- extremes that are accepted
@pytest.mark.parametrize(
    "schedule",
    [
        {"type": "once", "at": "8999-12-31T23:59:59.999Z"},
        {"type": "once", "at": "8999-12-30T00:00:00", "timezone": "America/New_York"},
        {"type": "once", "delay": "36500d"},
        {"type": "interval", "every": 1, "anchor": "1970-01-01T00:00:00Z"},
        {"type": "interval", "every": "36500d"},
        {"type": "interval", "every": "36500d", "anchor": "8999-12-31T00:00:00Z"},
        {"type": "interval", "every": 3600, "anchor": "8999-12-31T23:59:59Z"},
        {"type": "cron", "expression": "0 0 29 2 *"},
        {"type": "cron", "expression": "0 0 29 2 1#1"},
    ],
)
def test_extreme_schedules_are_accepted_and_cause_no_error(
    api: Api, schedule: dict[str, Any]
) -> None:
    accepted = post(api, TASK | {"name": "x", "schedule": schedule})

    assert accepted.status_code == 201, accepted.text
    assert api.get("/v1/tasks/x/upcoming?count=100").status_code == 200
    assert api.delete("/v1/tasks/x").status_code == 204
    once = post(api, TASK | {"name": "x", "schedule": {"type": "once", "delay": 0.05}})
    assert once.status_code == 201
    eventually(lambda: api.read("/v1/tasks/x")["last_run"], "the clock stands still")
    assert api.delete("/v1/tasks/x").status_code == 204


def test_a_long_body_with_an_unknown_field_is_refused_by_every_route(api: Api) -> None:
    body = {"not-a-field": "x" * 4_000}
    for method, path in routes_with_a_json_body(api):
        if path.startswith("/v1/runs/"):  # the token of an attempt comes before the body
            continue
        answer = api.call(method, path, json=body)
        problem(answer, 422, "invalid")
        assert "/not-a-field" in pointers(answer), (method, path)


def routes_with_a_json_body(api: Api) -> list[tuple[str, str]]:
    paths = api.read("/openapi.json")["paths"]
    return [
        (method.upper(), path.replace("{name}", "t").replace("{key}", "k").replace("{id}", NO_ID))
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]
