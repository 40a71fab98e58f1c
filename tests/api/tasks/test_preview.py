"""Previews of schedules, and the warnings of registrations."""

from typing import Any

from tests.api.marks import shares_service
from tests.api.service import Api, pointers, problem

MARCH = "2026-03-01T00:00:00Z"
BERLIN = {"type": "cron", "expression": "30 2 * * *", "timezone": "Europe/Berlin"}


def preview(api: Api, schedule: Any, **fields: Any) -> dict[str, Any]:
    answer = api.post("/v1/schedules/preview", json={"schedule": schedule, **fields})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def codes(shown: dict[str, Any]) -> list[str]:
    return [each["code"] for each in shown["warnings"]]


@shares_service
def test_a_preview_has_fire_times_a_description_and_warnings(api: Api) -> None:
    shown = preview(api, BERLIN, count=3, **{"from": "2026-03-27T12:00:00Z"})

    assert shown["fire_times"] == [
        {"at": "2026-03-28T01:30:00.000Z", "local": "2026-03-28T02:30:00.000+01:00"},
        {"at": "2026-03-29T01:00:00.000Z", "local": "2026-03-29T03:00:00.000+02:00"},
        {"at": "2026-03-30T00:30:00.000Z", "local": "2026-03-30T02:30:00.000+02:00"},
    ]
    assert shown["description"] == "At 02:30 every day, Europe/Berlin"
    assert codes(shown) == ["dst_gap", "dst_fold"]
    assert shown["warnings"][0]["at"] == "2026-03-29T01:00:00.000Z"


@shares_service
def test_a_preview_has_five_fire_times_from_now_on_by_default(api: Api) -> None:
    shown = preview(api, {"type": "cron", "expression": "0 9 * * *"})

    assert len(shown["fire_times"]) == 5
    assert shown["fire_times"][0]["local"].endswith("+00:00")
    assert shown["warnings"] == []


@shares_service
def test_an_error_of_an_expression_points_at_it_and_suggests_a_correction(api: Api) -> None:
    schedule = {"type": "cron", "expression": "0 22-2 * * *"}
    whole = {"type": "any_of", "schedules": [BERLIN, schedule]}

    refused = [
        api.post("/v1/schedules/preview", json={"schedule": each}) for each in (schedule, whole)
    ]

    assert [pointers(each) for each in refused] == [
        ["/schedule/expression"],
        ["/schedule/schedules/1/expression"],
    ]
    for each in refused:
        assert "'22-2' in the hour field" in each.text
        assert "write '22-23,0-2'" in each.text


@shares_service
def test_a_schedule_without_fire_times_has_a_description_and_a_warning(api: Api) -> None:
    manual = preview(api, {"type": "manual"})
    after = preview(api, {"type": "after", "tasks": ["a", "b"]})

    assert manual == {
        "fire_times": [],
        "description": "Only when run by hand",
        "warnings": [],
    }
    assert after["fire_times"] == after["warnings"] == []
    assert after["description"] == "After a and b have succeeded"


@shares_service
def test_excluded_fire_times_are_warned_of(api: Api) -> None:
    schedule = {"type": "cron", "expression": "0 9 * * *", "exclude": ["2026-03-02", "2026-03-04"]}

    shown = preview(api, schedule, count=3, **{"from": MARCH})

    days = [each["at"][:10] for each in shown["fire_times"]]
    assert days == ["2026-03-01", "2026-03-03", "2026-03-05"]
    (warning,) = shown["warnings"]
    assert warning["code"] == "excluded"
    assert warning["at"] == "2026-03-02T09:00:00.000Z"
    assert warning["message"].startswith("2 fire times")


@shares_service
def test_max_runs_and_end_at_limit_a_preview(api: Api) -> None:
    daily = {"type": "cron", "expression": "0 9 * * *"}

    few = preview(api, daily | {"max_runs": 2}, **{"from": MARCH})
    ended = preview(api, daily | {"end_at": "2026-02-01T00:00:00Z"}, **{"from": MARCH})

    assert len(few["fire_times"]) == 2
    assert ended["fire_times"] == []
    assert codes(ended) == ["never_fires"]


@shares_service
def test_jitter_depends_on_the_name_that_is_given(api: Api) -> None:
    schedule = {"type": "cron", "expression": "0 9 * * *", "jitter": "30m"}
    one, again, other = (
        preview(api, schedule, name=name, **{"from": MARCH})["fire_times"] for name in "aab"
    )

    assert one == again != other


def test_a_registration_returns_the_same_as_its_preview(api: Api) -> None:
    schedule = {
        "type": "any_of",
        "jitter": "10m",
        "schedules": [
            {"type": "cron", "expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"},
            {"type": "calendar", "unit": "month", "day": 31, "time": "12:00"},
        ],
    }

    shown = preview(api, schedule, count=3, name="t")
    answer = api.post(
        "/v1/tasks", json={"name": "t", "handler": "echo", "schedule": schedule, "timeout": 1}
    )

    made = answer.json()
    assert made["upcoming"] == [each["at"] for each in shown["fire_times"]]
    assert made["upcoming"] == api.items("/v1/tasks/t/upcoming?count=3")
    assert made["warnings"] == shown["warnings"]
    assert codes(made) == ["month_end"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": "cron", "expression": "60 * * * *"}, "/schedule/expression"),
    ({"type": "cron", "expression": "0 0 31 2 *"}, "/schedule/expression"),
    ({"type": "cron", "expression": "0 9 * * *", "timezone": "Mars"}, "/schedule/timezone"),
    ({"type": "interval", "every": 0}, "/schedule/every"),
    ({"type": "interval", "every": 60, "odd": 1}, "/schedule/odd"),
    ({"type": "once"}, "/schedule"),
    ({"type": "sometimes"}, "/schedule/type"),
    ({"type": "calendar", "unit": "week", "time": "09:00", "day": 9}, "/schedule/day"),
    (
        {"type": "any_of", "schedules": [{"type": "interval", "every": 0}]},
        "/schedule/schedules/0/every",
    ),
]


@shares_service
def test_a_preview_refuses_the_same_schedules_as_a_registration(api: Api) -> None:
    for schedule, pointer in REFUSED:
        previewed = api.post("/v1/schedules/preview", json={"schedule": schedule})
        registered = api.post("/v1/tasks", json={"handler": "echo", "schedule": schedule})

        assert pointers(previewed) == pointers(registered) == [pointer]
        assert previewed.json()["detail"] == registered.json()["detail"]


@shares_service
def test_a_one_off_that_is_long_past_is_refused_and_one_just_past_is_warned_of(api: Api) -> None:
    schedule = {"type": "once", "at": "2026-02-28T23:30:00Z"}
    body = {"schedule": schedule, "from": "2026-03-02T00:00:00Z"}

    refused = problem(api.post("/v1/schedules/preview", json=body), 422, "time-in-the-past")
    late = preview(api, schedule, **{"from": MARCH})

    assert refused["errors"][0]["pointer"] == "/schedule/at"
    assert codes(late) == ["in_the_past"]
    assert late["fire_times"][0]["at"] == "2026-02-28T23:30:00.000Z"


@shares_service
def test_the_other_fields_are_checked(api: Api) -> None:
    wrong = [
        ("count", 0),
        ("count", 101),
        ("count", "5"),
        ("from", "soon"),
        ("name", "-"),
        ("x", 1),
    ]

    for field, value in wrong:
        body = {"schedule": {"type": "manual"}, field: value}
        refused = api.post("/v1/schedules/preview", json=body)

        assert refused.status_code == 422
        assert pointers(refused) == [f"/{field}"]


# --------------------------------------------------------------------------------------------------- registrations
def test_a_registration_warns_and_so_does_an_unchanged_one(api: Api) -> None:
    body = {"handler": "echo", "schedule": {"type": "interval", "every": "7m"}, "timeout": "10m"}

    made = api.put("/v1/tasks/t", json=body).json()
    again = api.put("/v1/tasks/t", json=body).json()

    assert codes(made) == ["uneven_interval", "timeout_longer_than_interval"]
    assert "overlap_policy is skip" in made["warnings"][1]["message"]
    assert again["outcome"] == "unchanged"
    assert again["warnings"] == made["warnings"]


def test_a_sent_timeout_is_warned_of_and_a_default_is_not(api: Api) -> None:
    body = {"handler": "echo", "schedule": {"type": "interval", "every": 10}}
    long = ["timeout_longer_than_interval"]

    assert codes(api.put("/v1/tasks/t", json=body).json()) == []
    assert codes(api.put("/v1/tasks/t", json=body | {"timeout": 300}).json()) == long
    assert codes(api.put("/v1/tasks/t", json=body | {"timeout": 301}).json()) == long
    assert codes(api.patch("/v1/tasks/t", json={"timeout": 300}).json()) == long
    assert codes(api.patch("/v1/tasks/t", json={"timeout": None}).json()) == []
    assert (
        codes(api.post("/v1/tasks", json=body | {"name": "other", "timeout": "5m"}).json()) == long
    )


def test_what_looks_like_a_template_and_is_none_is_warned_of(api: Api) -> None:
    target = {"url": "http://127.0.0.1:9/"}
    body = {"handler": "http", "schedule": {"type": "manual"}, "input": {"a": ["{{ kv.cursor }}"]}}

    (warning,) = api.put("/v1/tasks/t", json=body | {"target": target}).json()["warnings"]
    filled = api.put("/v1/tasks/t", json=body | {"target": target | {"body": "{{ input.a }}"}})

    assert warning["code"] == "literal_template"
    assert "'{{' in /input/a/0 is sent as it stands" in warning["message"]
    assert filled.json()["warnings"] == []


def test_next_fire_at_and_upcoming_show_the_fire_times_that_run(api: Api) -> None:
    schedule = {"type": "cron", "expression": "0 9 * * *"}
    first, second, third = api.put(
        "/v1/tasks/t", json={"handler": "echo", "schedule": schedule}
    ).json()["upcoming"]

    limited = schedule | {"exclude": [first[:10]], "max_runs": 1}
    task = api.put("/v1/tasks/t", json={"handler": "echo", "schedule": limited}).json()

    assert task["next_fire_at"] == second
    assert task["upcoming"] == [second] == api.items("/v1/tasks/t/upcoming")
    assert third > second


def test_a_moved_fire_time_comes_first_and_the_schedule_continues_after_it(api: Api) -> None:
    schedule = {"type": "cron", "expression": "0 0 1 1 *"}
    body = {"handler": "echo", "schedule": schedule}
    first, second, _ = api.put("/v1/tasks/t", json=body).json()["upcoming"]

    early = f"{int(first[:4]) - 1}-12-31T23:59:59.000Z"
    patched = api.patch("/v1/tasks/t", json={"next_fire_at": early}).json()

    assert patched["next_fire_at"] == early
    assert patched["upcoming"][:2] == [early, second]
