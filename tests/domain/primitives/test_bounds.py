"""A default gives way to what was asked for; what was given and contradicts itself is refused."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rota.domain.policies import RetryPolicy, retry_interval
from rota.domain.primitives.bounds import STORED, without_defaults
from rota.domain.primitives.json import json_text
from rota.domain.tasks.definition import TaskDefinition
from tests.support.factories import DAY, define, numbered

URL = "https://app.example.com/"
SECOND = timedelta(seconds=1)


def _http(call: Any = None, *, later: bool = False, **fields: Any) -> TaskDefinition:
    target = {"url": URL, "async": later} | ({} if call is None else {"timeout": call})
    return define(handler="http", target=target, schedule={"type": "manual"}, **fields)


def _timeouts(definition: TaskDefinition) -> tuple[float, float]:
    assert definition.target is not None
    return definition.target.timeout / SECOND, definition.timeout / SECOND


def _stored(definition: TaskDefinition) -> TaskDefinition:
    """Return a definition as the store gives it back."""
    text = definition.model_dump_json(exclude_defaults=True)
    return TaskDefinition.model_validate_json(text, context=STORED)


@pytest.mark.parametrize(
    ("given", "first", "most"),
    [
        ({}, 10, 3600),
        ({"initial_interval": "2h"}, 7200, 7200),
        ({"initial_interval": "30m"}, 1800, 3600),
        ({"max_interval": "5s"}, 5, 5),
        ({"max_interval": "1d"}, 10, 86400),
        ({"initial_interval": "2h", "max_interval": "3h"}, 7200, 10800),
    ],
)
def test_the_default_of_an_interval_gives_way_to_the_other(
    given: dict[str, Any], first: int, most: int
) -> None:
    policy = RetryPolicy.model_validate(given)

    assert policy.initial_interval == first * SECOND
    assert policy.max_interval == most * SECOND
    exact = policy.model_copy(update={"jitter": False})
    assert retry_interval(exact, 1, numbered(1)) == first * SECOND


@pytest.mark.parametrize(
    ("call", "fields", "made"),
    [
        (None, {}, (30, 300)),
        (None, {"timeout": "10m"}, (600, 600)),
        (None, {"timeout": 10}, (10, 10)),
        ("10m", {}, (600, 600)),
        ("1m", {}, (60, 300)),
        (30, {"timeout": "10m"}, (30, 600)),
    ],
)
def test_the_default_of_a_timeout_gives_way_to_the_other(
    call: Any, fields: dict[str, Any], made: tuple[float, float]
) -> None:
    assert _timeouts(_http(call, **fields)) == made


@pytest.mark.parametrize(
    ("call", "fields", "made"),
    [
        (None, {}, (30, 300)),
        (None, {"timeout": "1h"}, (30, 3600)),
        (None, {"timeout": 10}, (10, 10)),
        ("10m", {}, (600, 600)),
        ("1m", {"timeout": "1h"}, (60, 3600)),
    ],
)
def test_how_long_work_outside_may_take_says_nothing_of_the_call(
    call: Any, fields: dict[str, Any], made: tuple[float, float]
) -> None:
    assert _timeouts(_http(call, later=True, **fields)) == made


@pytest.mark.parametrize(
    ("given", "runs", "age"),
    [
        ({}, 100, 30 * DAY),
        ({"runs": 10}, 10, 30 * DAY),
        ({"runs": 1000}, 1000, 36_500 * DAY),
        ({"age": "1d"}, 100, DAY),
        ({"age": "365d"}, 100_000, 365 * DAY),
        ({"runs": 1000, "age": "1d"}, 1000, DAY),
    ],
)
def test_of_a_history_as_much_is_kept_as_is_asked_for(
    given: dict[str, Any], runs: int, age: timedelta
) -> None:
    kept = define(retention=given).retention

    assert (kept.runs, kept.age) == (runs, age)


@pytest.mark.parametrize(
    ("fields", "places", "given"),
    [
        (
            {"retry": {"initial_interval": "2h", "max_interval": "1h"}},
            {("retry", "initial_interval"), ("retry", "max_interval")},
            "'initial_interval' (7200 s) is more than 'max_interval' (3600 s)",
        ),
        (
            {"handler": "http", "timeout": 10, "target": {"url": URL, "timeout": 20}},
            {("target", "timeout"), ("timeout",)},
            "'target.timeout' (20 s) is more than 'timeout' (10 s)",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_at_both_fields(
    fields: dict[str, Any], places: set[tuple[str, ...]], given: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        define(**fields)

    assert {fault["loc"] for fault in refused.value.errors()} == places
    assert all(given in fault["msg"] for fault in refused.value.errors())


_SECONDS = st.none() | st.sampled_from([1, 10, 29, 30, 31, 60, 300, 301, 3600, 7200])
_FIELDS = st.builds(
    lambda first, most, runs, age: {
        "retry": _given(initial_interval=first, max_interval=most),
        "retention": _given(runs=runs, age=age),
    },
    _SECONDS,
    _SECONDS,
    st.none() | st.sampled_from([1, 100, 101, 5000]),
    st.none() | st.sampled_from([60, 30 * 86_400, 365 * 86_400]),
)


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _read(call: Any, timeout: Any, fields: dict[str, Any], *, later: bool) -> TaskDefinition | None:
    """Return what is declared, if it is not refused."""
    try:
        return _http(call, later=later, **fields, **_given(timeout=timeout))
    except ValidationError:
        return None


@given(_SECONDS, _SECONDS, _FIELDS, st.booleans())
def test_what_is_stored_or_shown_says_the_same_again(
    call: Any,
    timeout: Any,
    fields: dict[str, Any],
    later: bool,
) -> None:
    definition = _read(call, timeout, fields, later=later)
    if definition is None:
        return
    shown = json_text.loads(definition.model_dump_json())

    assert _stored(definition) == definition
    assert TaskDefinition.model_validate(shown) == definition, "it is no change to put it back"
    assert _timeouts(definition)[0] <= _timeouts(definition)[1]


@pytest.mark.parametrize(
    ("declared", "patch", "made"),
    [
        ({}, {"retry": {"initial_interval": "2h"}}, (7200, 7200)),
        ({"initial_interval": "2h"}, {"retry": {"initial_interval": "3h"}}, (10800, 10800)),
        ({"initial_interval": "2h"}, {"retry": {"initial_interval": "5m"}}, (300, 3600)),
        ({"max_interval": "1d"}, {"retry": {"initial_interval": "2h"}}, (7200, 86400)),
        ({}, {"retry": {"max_interval": "5s"}}, (5, 5)),
        ({"max_interval": "5s"}, {"retry": {"max_interval": "3s"}}, (3, 3)),
        ({"initial_interval": 5, "max_interval": 5}, {"retry": {"max_interval": 60}}, (5, 60)),
        ({"initial_interval": "2h"}, {"retry": {"max_attempts": 9}}, (7200, 7200)),
        ({}, {"retry": {"initial_interval": "2h", "max_interval": "4h"}}, (7200, 14400)),
    ],
)
def test_a_patch_goes_before_defaults_too(
    declared: dict[str, Any], patch: dict[str, Any], made: tuple[int, int]
) -> None:
    shown = json_text.loads(define(retry=declared).model_dump_json())

    left = without_defaults(shown, patch)
    merged = left | {"retry": left["retry"] | patch["retry"]}
    policy = TaskDefinition.model_validate(merged | {"target": None}).retry

    assert (policy.initial_interval / SECOND, policy.max_interval / SECOND) == made


@pytest.mark.parametrize(
    ("declared", "patch", "made"),
    [
        ((None, {}), {"timeout": "10m"}, (600, 600)),
        ((None, {}), {"timeout": 10}, (10, 10)),
        ((None, {"timeout": 60}), {"timeout": 90}, (90, 90)),
        ((20, {"timeout": 60}), {"timeout": 90}, (20, 90)),
        ((None, {}), {"target": {"timeout": "10m"}}, (600, 600)),
        ((None, {"timeout": 60}), {"target": {"timeout": 20}}, (20, 60)),
        ((None, {}), {"target": {"timeout": "never"}, "timeout": 5}, None),
        ((None, {}), {"target": {"timeout": 5}, "timeout": 6}, (5, 6)),
        ((None, {"timeout": 60}), {"priority": 1}, (60, 60)),
    ],
)
def test_a_patch_of_a_timeout_goes_before_the_default_of_the_other(
    declared: tuple[Any, dict[str, Any]], patch: dict[str, Any], made: tuple[float, float] | None
) -> None:
    shown = json_text.loads(_http(declared[0], **declared[1]).model_dump_json())

    if made is None:
        with pytest.raises(ValidationError):
            _patched(shown, patch)
    else:
        assert _timeouts(_patched(shown, patch)) == made


@pytest.mark.parametrize(
    ("declared", "patch", "made"),
    [
        ((None, {}), {"timeout": "1h"}, (30, 3600)),
        ((None, {"timeout": 10}), {"timeout": "1h"}, (30, 3600)),
        ((None, {"timeout": "1h"}), {"timeout": 10}, (10, 10)),
        ((60, {"timeout": 60}), {"timeout": 90}, (60, 90)),
        ((60, {"timeout": 60}), {"timeout": 40}, None),
        ((None, {"timeout": "1h"}), {"target": {"timeout": 60}}, (60, 3600)),
        ((None, {"timeout": "1h"}), {"priority": 1}, (30, 3600)),
        ((60, {"timeout": "1h"}), {"target": {"async": True}}, (60, 3600)),
    ],
)
def test_a_patch_of_the_time_for_work_outside_leaves_that_of_the_call_its_default(
    declared: tuple[Any, dict[str, Any]], patch: dict[str, Any], made: tuple[float, float] | None
) -> None:
    shown = json_text.loads(_http(declared[0], later=True, **declared[1]).model_dump_json())

    if made is None:
        with pytest.raises(ValidationError):
            _patched(shown, patch)
    else:
        assert _timeouts(_patched(shown, patch)) == made


@pytest.mark.parametrize(
    ("declared", "patch", "made"),
    [
        ((None, {"timeout": "1h"}), {"target": {"async": True}}, (30, 3600)),
        ((None, {"timeout": 10}), {"target": {"async": True}}, (10, 10)),
        ((60, {"timeout": "1h"}), {"target": {"async": True}}, (60, 3600)),
        ((None, {}), {"target": {"async": True}, "timeout": "1h"}, (30, 3600)),
        ((None, {"timeout": "1h"}), {"target": {"async": True, "timeout": 60}}, (60, 3600)),
        ((None, {"timeout": "1h"}), {"target": {"async": False}}, (3600, 3600)),
        ((None, {"timeout": "1h"}), {"target": {"async": "later"}}, None),
    ],
)
def test_a_patch_that_has_the_outcome_reported_later_gives_the_call_its_default(
    declared: tuple[Any, dict[str, Any]], patch: dict[str, Any], made: tuple[float, float] | None
) -> None:
    shown = json_text.loads(_http(declared[0], **declared[1]).model_dump_json())

    if made is None:
        with pytest.raises(ValidationError):
            _patched(shown, patch)
    else:
        assert _timeouts(_patched(shown, patch)) == made


def _patched(shown: dict[str, Any], patch: dict[str, Any]) -> TaskDefinition:
    left = without_defaults(shown, patch)
    merged = left | patch | {"target": left["target"] | patch.get("target", {})}
    return TaskDefinition.model_validate(merged)


@pytest.mark.parametrize(
    ("patch", "runs", "age"),
    [({"runs": 500}, 500, 36_500 * DAY), ({"age": "90d"}, 100_000, 90 * DAY), ({}, 100, 30 * DAY)],
)
def test_a_patch_of_the_retention_goes_before_the_default_of_the_other(
    patch: dict[str, Any], runs: int, age: timedelta
) -> None:
    shown = json_text.loads(define().model_dump_json())

    left = without_defaults(shown, {"retention": patch})
    kept = define(retention=left["retention"] | patch).retention

    assert (kept.runs, kept.age) == (runs, age)


def test_what_was_stored_before_is_read_as_it_acted() -> None:
    """Defaults were left out, whether they were given or not: only what contradicts itself is settled."""
    old = '{"handler":"http","target":{"url":"https://x.example/"},"schedule":{"type":"manual"},"timeout":%s}'

    longer = TaskDefinition.model_validate_json(old % 600, context=STORED)
    shorter = TaskDefinition.model_validate_json(old % 10, context=STORED)
    both = '{"handler":"x","schedule":{"type":"manual"},"retry":{"initial_interval":60,"max_interval":5}}'
    capped = TaskDefinition.model_validate_json(both, context=STORED).retry

    assert _timeouts(longer) == (30, 600)
    assert _timeouts(shorter) == (10, 10)
    assert (capped.initial_interval, capped.max_interval) == (5 * SECOND, 5 * SECOND)
