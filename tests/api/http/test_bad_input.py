"""Bad input: each is a 4xx problem that points at the fault, and stores nothing."""

import gzip
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.api.service import MANUAL, Api, pointers, problem, serving
from tests.support.databases import ENGINES
from tests.support.factories import eventually

TASK = {"handler": "echo", "schedule": MANUAL}
GREET = {"handler": "greet", "input": {"name": "Ada"}, "schedule": MANUAL}
HTTP = {"handler": "http", "target": {"url": "http://127.0.0.1:9/"}, "schedule": MANUAL}
JSON = {"Content-Type": "application/json"}
MEBIBYTE = 1_048_576


@pytest.fixture(scope="module", params=ENGINES)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """One service for all of these requests, since none of them leaves anything."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("bad") / "rota.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        url = f"sqlite:///{path}"
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.create_database(template=request.getfixturevalue("postgres_template"))
    with serving(url) as made:
        made.task("t", handler="greet", input={"name": "Ada"})
        yield made


@pytest.fixture
def api(shared: Api) -> Iterator[Api]:
    """The service; in the end what was there must still be there, and nothing else."""
    before = shared.read("/v1/tasks/t")
    yield shared
    left = [name for name in shared.names() if name != "t"]
    for name in left:
        shared.delete(f"/v1/tasks/{name}")
    assert left == []
    assert shared.read("/v1/tasks/t") == before
    assert shared.items("/v1/runs") == shared.items("/v1/tasks/t/kv") == []


def post(api: Api, body: Any, path: str = "/v1/tasks") -> Any:
    return api.post(path, json=body)


def raw(api: Api, body: bytes | str, path: str = "/v1/tasks") -> Any:
    content = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return api.post(path, content=content, headers=JSON)


# ---------------------------------------------------------------------------------------------------- not JSON
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a" 1}',
        b"[1,]",
        b"// comment\n{}",
        b"{} {}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 01}',
        b'{"a": .5}',
        b'{"a": "\n"}',
        b'{"a": "\x00"}',
        b'{"a": "\\x41"}',
        b'{"a": "\\ud8"}',
        b"nul",
        b"\xff\xfe{}",
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32"),
        b"name=t&handler=echo",
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/tasks", "/v1/tasks/batch", "/v1/tasks/t/run", "/v1/tasks/t/pause"]
)
def test_a_body_that_is_not_json_is_400(api: Api, body: bytes, path: str) -> None:
    problem(raw(api, body, path), 400, "malformed-json")


def test_the_position_of_a_syntax_error_is_in_the_detail(api: Api) -> None:
    refused = problem(raw(api, b'{"handler": "echo",\n "schedule": }'), 400, "malformed-json")

    assert "line 2, column 14" in refused["detail"]


# ------------------------------------------------------------------------------------ JSON that is not accepted
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"handler":"echo","handler":"greet"}', "/handler"),
        ('{"input":{"a":[0,{"b":1,"b":2}]}}', "/input/a/1/b"),
        ('{"input":{"a/b~c":1,"a/b~c":1}}', "/input/a~1b~0c"),
        ('{"description":"a\\u0000b"}', "/description"),
        ('{"input":{"x":["\\u0000"]}}', "/input/x/0"),
        ('{"input":{"\\u0000":1}}', "/input"),
        ('{"description":"\\ud800"}', "/description"),
        ('{"input":["\\udc00\\ud800"]}', "/input/0"),
        ('{"input":{"\\udfff":1}}', "/input"),
        ('{"input":1e999}', "/input"),
        ('{"input":[-1e999]}', "/input/0"),
    ],
)
def test_errors_of_json_that_cannot_be_stored_have_pointers(
    api: Api, body: str, pointer: str
) -> None:
    refused = raw(api, body)

    problem(refused, 422, "unacceptable-json")
    assert pointers(refused) == [pointer]


def test_at_most_sixty_four_levels_are_accepted(api: Api) -> None:
    def nested(levels: int) -> str:
        return json.dumps(TASK)[:-1] + f', "input": {"[" * (levels - 1)}{"]" * (levels - 1)}}}'

    refused = raw(api, nested(65))

    problem(refused, 422, "unacceptable-json")
    assert pointers(refused) == ["/input" + "/0" * 63]
    accepted = raw(api, nested(64))
    assert accepted.status_code == 201, accepted.text
    name = accepted.json()["name"]
    run = api.ended(
        api.run(name)
    )  # what is accepted can be returned, although the response nests it deeper
    assert run["result"] == run["input"] == accepted.json()["input"]
    assert len(api.items("/v1/tasks")) == 2
    assert api.items("/v1/runs")[0]["result"] == run["result"]
    assert api.read(f"/v1/tasks/{name}/kv/_result")["value"] == run["result"]
    assert api.delete(f"/v1/tasks/{name}").status_code == 204


@pytest.mark.parametrize("levels", [900, 100_000])
def test_very_deep_json_is_refused(api: Api, levels: int) -> None:
    body = '{"input":' + "[" * levels + "]" * levels + "}"

    assert raw(api, body).status_code == 422


def test_a_number_of_thousands_of_digits_is_refused(api: Api) -> None:
    assert raw(api, '{"input":' + "9" * 5_000 + "}").status_code == 422


# --------------------------------------------------------------------------------------------- wrong content
HUGE = 10**400
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

# Values that a member cannot have, by the pointer to it; what is beside it is right.
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
    # Unknown members, at every level, and members of later versions.
    **{pointer: [1] for pointer in ["/unknown", "/a~1b~0", "/retry/attempts", "/retention/days"]},
    **{pointer: [{}, None] for pointer in ["/heartbeat_timeout", "/on_late"]},
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
    for base, member, wrong in WRONG_SCHEDULES:
        for value in wrong:
            schedule = put_at(member, value, base)
            name = f"{base.get('type')}{member}={value!r:.20}"
            yield pytest.param({"schedule": schedule}, f"/schedule{member}", id=name)


def check_refused(refused: Any, pointer: str) -> None:
    assert refused.status_code == 422, refused.text
    slug = refused.json()["type"].removeprefix("/problems/")
    assert slug in {"invalid", "unknown-handler", "time-in-the-past"}
    assert pointers(refused) == [pointer], refused.text
    assert refused.json()["detail"].startswith(f"{pointer}: " if pointer else "")


@pytest.mark.parametrize(("members", "pointer"), list(cases()))
def test_an_error_of_a_wrong_member_points_at_it(
    api: Api, members: dict[str, Any], pointer: str
) -> None:
    check_refused(post(api, TASK | members), pointer)
    if pointer != "/name":
        check_refused(api.put("/v1/tasks/bad", json=TASK | members), pointer)


@pytest.mark.parametrize(
    ("members", "pointer"),
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
def test_errors_of_members_that_exclude_each_other_have_pointers(
    api: Api, members: dict[str, Any], pointer: str
) -> None:
    check_refused(post(api, TASK | members), pointer)


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
        ({"headers": {"Host": "x"}}, "/target/headers"),
        ({"headers": {"A": "b\r\nC: d"}}, "/target/headers"),
        ({"headers": {"A": "日本"}}, "/target/headers"),
        ({"headers": {"A": 5}}, "/target/headers/A"),
        ({"headers": []}, "/target/headers"),
        ({"success_codes": []}, "/target/success_codes"),
        ({"success_codes": ["6xx"]}, "/target/success_codes/0"),
        ({"success_codes": [2]}, "/target/success_codes/0"),
        ({"retry_codes": [True]}, "/target/retry_codes/0"),
        ({"query": {"a": []}}, "/target/query/a"),
        ({"query": {"a": None}}, "/target/query/a"),
        ({"async": True}, "/target/async"),
        ({"kv_set": ["cursor"]}, "/target/kv_set"),
        ({"kv": {"cursor": 1}}, "/target/kv"),
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


@pytest.mark.parametrize(
    ("path", "parameter", "expected"),
    [
        ("/v1/tasks?limit=x", "limit", "give a whole number, not 'x'"),
        ("/v1/tasks?limit=201", "limit", "give at most 200"),
        ("/v1/tasks?statuss=active", "statuss", "did you mean 'status'?"),
        ("/v1/tasks?status=activ", "status", "did you mean 'active'?"),
        ("/v1/tasks?cursor=x", "cursor", "start again without it"),
        ("/v1/tasks?name_prefix=-", "name_prefix", "the beginning of a name"),
        ("/v1/tasks?tag=%00", "tag", "NUL"),
        ("/v1/runs?trigger=manul", "trigger", "did you mean 'manual'?"),
        ("/v1/runs?backfill_id=x", "backfill_id", "not an id"),
        ("/v1/runs?scheduled_from=x", "scheduled_from", "RFC 3339"),
        ("/v1/runs?cursor=WyJ4IiwieCJd", "cursor", "start again without it"),
        ("/v1/runs/x", "id", "give an id as Rota gives them"),
        ("/v1/tasks/t/upcoming?count=0", "count", "at least 1"),
        ("/v1/tasks/t/kv?include=all", "include", "'values' or 'keys'"),
        ("/v1/tasks/t/kv?watch=a&limit=5", "watch", "leave 'limit' out"),
        ("/v1/tasks/t/kv?watch=a/b", "watch", "give keys"),
        ("/v1/tasks/t/kv?at=x", "at", "RFC 3339"),
        ("/v1/tasks/t/kv/a%20b", "key", "1 to 255 letters"),
        ("/v1/events?type=x", "type", "is none of"),
    ],
)
def test_a_wrong_parameter_is_named(api: Api, path: str, parameter: str, expected: str) -> None:
    refused = api.get(path)

    assert refused.status_code == 422
    [fault] = refused.json()["errors"]
    assert fault["parameter"] == parameter
    assert expected in fault["detail"]


@pytest.mark.parametrize(
    ("method", "path", "header", "value"),
    [
        ("POST", "/v1/tasks/t/run", "Idempotency-Key", "ü"),
        ("GET", "/v1/events", "Last-Event-ID", "x"),
        ("GET", "/v1/tasks/t/kv?watch=", "Last-Event-ID", "x"),
    ],
)
def test_a_wrong_header_is_named(api: Api, method: str, path: str, header: str, value: str) -> None:
    refused = api.call(method, path, headers={header.encode(): value.encode()})

    problem(refused, 422, "invalid-header")
    assert pointers(refused) == [header]


@pytest.mark.parametrize(
    "name", ["%20", "a%20b", ".a", "ü", "x" * 129, "%00", "a%0A", "batch", "run"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_names_in_paths_are_checked_too(api: Api, name: str, method: str) -> None:
    options = {"json": TASK} if method in {"PUT", "PATCH"} else {}

    refused = api.call(method, f"/v1/tasks/{name}", **options)

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["name"]


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("pause", {"reason": 5}, "/reason"),
        ("pause", {"reason": "x" * 1_001}, "/reason"),
        ("pause", {"because": "x"}, "/because"),
        ("pause", [], ""),
        ("resume", {"catch_up": "most"}, "/catch_up"),
        ("resume", {"from": 1}, "/from"),
        ("run", {"inputs": {}}, "/inputs"),
        ("run", [], ""),
        ("run", "now", ""),
    ],
)
def test_bodies_of_actions_are_checked(api: Api, path: str, body: Any, pointer: str) -> None:
    refused = post(api, body, f"/v1/tasks/t/{path}")

    problem(refused, 422, "invalid")
    assert pointers(refused) == [pointer]


# ------------------------------------------------------------------------------------- media types and sizes
@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/json",
        "",
        "json",
        "application/jsonp",
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/tasks"),
        ("PUT", "/v1/tasks/bad"),
        ("PATCH", "/v1/tasks/t"),
        ("POST", "/v1/tasks/batch"),
        ("POST", "/v1/tasks/t/run"),
    ],
)
def test_a_body_that_is_not_declared_as_json_is_415(
    api: Api, method: str, path: str, media_type: str
) -> None:
    refused = api.call(
        method, path, content=json.dumps(TASK).encode(), headers={"Content-Type": media_type}
    )

    problem(refused, 415, "unsupported-media-type")


@pytest.mark.parametrize("media_type", ["", "json", "text/", "/plain", "text plain", "a/b" * 100])
def test_a_kv_value_without_a_content_type_is_415(api: Api, media_type: str) -> None:
    refused = api.put(
        "/v1/tasks/t/kv/a", content=b'{"value": 1}', headers={"Content-Type": media_type}
    )

    problem(refused, 415, "unsupported-media-type")


def test_a_body_without_a_media_type_is_415(api: Api) -> None:
    problem(api.post("/v1/tasks", content=json.dumps(TASK).encode()), 415, "unsupported-media-type")


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, identity", "GZIP"])
@pytest.mark.parametrize(
    ("method", "path", "media_type"),
    [
        ("POST", "/v1/tasks", "application/json"),
        ("POST", "/v1/tasks/batch", "application/json"),
        ("POST", "/v1/tasks/t/pause", "application/json"),
        ("PUT", "/v1/tasks/t/kv/a", "application/json"),
        ("PUT", "/v1/tasks/t/kv/a", "text/plain"),
        ("POST", "/v1/tasks/t/kv/import", "application/x-ndjson"),
    ],
)
def test_an_encoded_body_is_415_with_the_accepted_encoding(
    api: Api, method: str, path: str, media_type: str, encoding: str
) -> None:
    headers = {"Content-Type": media_type, "Content-Encoding": encoding}

    refused = api.call(method, path, content=gzip.compress(b"{}"), headers=headers)

    found = problem(refused, 415, "unsupported-media-type")
    assert refused.headers["accept-encoding"] == "identity"
    assert "Content-Encoding" in found["detail"]


def test_a_body_with_the_identity_encoding_is_accepted(api: Api) -> None:
    headers = JSON | {"Content-Encoding": "identity"}

    assert api.post("/v1/tasks/t/resume", content=b"{}", headers=headers).status_code == 200
    encoded = {"Content-Encoding": "gzip"}  # what has no body is not encoded either
    assert api.post("/v1/tasks/t/resume", headers=encoded).status_code == 200


def test_a_byte_order_mark_before_json_is_ignored(api: Api) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(TASK | {"name": "marked"}).encode()

    made = api.post("/v1/tasks", content=body, headers=JSON)

    assert made.status_code == 201, made.text
    assert api.delete("/v1/tasks/marked").status_code == 204
    problem(raw(api, b"\xef\xbb\xbf\xef\xbb\xbf{}"), 400, "malformed-json")


def test_json_with_a_charset_is_accepted(api: Api) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}

    assert api.post("/v1/tasks/t/resume", content=b"{}", headers=headers).status_code == 200


async def chunks(size: int) -> AsyncIterator[bytes]:
    yield b'{"input":"'
    for _ in range(size // 65_536):
        yield b"x" * 65_536


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", "/v1/tasks", MEBIBYTE),
        ("PUT", "/v1/tasks/bad", MEBIBYTE),
        ("PATCH", "/v1/tasks/t", MEBIBYTE),
        ("POST", "/v1/tasks/t/run", MEBIBYTE),
        ("POST", "/v1/tasks/t/pause", MEBIBYTE),
        ("PUT", "/v1/tasks/t/kv/a", MEBIBYTE),
        ("POST", "/v1/tasks/batch", 16 * MEBIBYTE),
    ],
)
def test_a_body_over_the_limit_is_413_with_the_limit(
    api: Api, method: str, path: str, limit: int, chunked: bool
) -> None:
    size = max(10, limit // MEBIBYTE + 1) * MEBIBYTE
    content: Any = chunks(size) if chunked else b"x" * size

    refused = api.call(method, path, content=content, headers=JSON)

    found = problem(refused, 413, "too-large")
    assert str(limit) in found["detail"], found


def test_a_body_at_the_limit_is_accepted(api: Api) -> None:
    padding = b'{"reason":"x"}'

    accepted = api.post("/v1/tasks/t/resume", content=b"{}".ljust(MEBIBYTE), headers=JSON)
    over = api.post("/v1/tasks/t/resume", content=padding.ljust(MEBIBYTE + 1), headers=JSON)

    assert accepted.status_code == 200
    assert over.status_code == 413


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
