"""Messages for all errors of pydantic are in plain English and point into the request."""

import math
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticKnownError
from pydantic_core._pydantic_core import list_all_errors

from rota.api.handlers import HandlerIn
from rota.api.keys.request_models import KeyIn, RotateKeyIn
from rota.api.kv.history import RevertIn
from rota.api.kv.ndjson import LineIn
from rota.api.kv.request_models import KvIn, KvTransactionIn
from rota.api.leases import LeaseIn
from rota.api.queues import QueueIn
from rota.api.runs.completions import HeartbeatIn
from rota.api.secrets.request_models import RotateIn, SecretIn
from rota.api.tasks.backfills import BackfillIn
from rota.api.tasks.bulk.models import BulkIn, BulkPauseIn, BulkResumeIn
from rota.api.tasks.request_models import (
    BatchIn,
    DeclaredTaskIn,
    PauseIn,
    PingIn,
    PreviewIn,
    ResumeIn,
    RunIn,
    TaskIn,
)
from rota.domain.alerts.notifiers import EmailInput, SlackInput, WebhookInput
from rota.domain.http_target.outcome_document import OutcomeIn
from rota.domain.primitives.json.json_text import unescape
from rota.domain.validation.faults import faults_of
from rota.domain.validation.locations import Place
from rota.domain.validation.messages import PATTERNS, nearest, word
from rota.settings import Settings

MODELS: list[type[BaseModel]] = [
    *(TaskIn, DeclaredTaskIn, BatchIn, PauseIn, ResumeIn, RunIn, PreviewIn, QueueIn, BackfillIn),
    *(BulkIn, BulkPauseIn, BulkResumeIn, KvIn, KvTransactionIn, RevertIn, LineIn, OutcomeIn),
    *(PingIn, LeaseIn, HandlerIn, KeyIn, RotateKeyIn, SecretIn, RotateIn, HeartbeatIn),
    *(EmailInput, SlackInput, WebhookInput),
]
# Words of pydantic's, of Python's and of its type system that mean nothing to a client.
FOREIGN = re.compile(
    r"input should|inputs are|valid (dictionary|string|integer|number|boolean|tuple|list)|instance|dictionar|tuple"
    r"|after validation|discriminator|unable to|value error|assertion|field required|(?-i:\b(None|True|False)\b)"
    r"|union|pydantic|(?-i:[A-Z][a-z]+In\b)|\bstr\b|\bint\b|\bdict\b|\bbool\b|extract",
    re.IGNORECASE,
)
CONTEXT: dict[str, Any] = {"error": "the reason", "expected": "'a' or 'b'", "field_type": "Tuple"}
INPUTS: list[Any] = [None, True, 5, 1.5, "text", [], {}, "x" * 200, math.inf]

TASK = {"handler": "echo", "schedule": {"type": "manual"}}
#: A wrong body for each place, and the message about it.
WRONG_BODIES: list[tuple[type[BaseModel], Any, dict[str, str]]] = [
    (
        TaskIn,
        TASK | {"schedule": {"type": "interval", "interval": "5m"}},
        {
            "/schedule/every": "this field is required",
            "/schedule/interval": "this field is not known here; there are: type, start_at, end_at, max_runs, "
            "jitter, exclude, every, anchor, initial_delay, mode, flex",
        },
    ),
    (
        TaskIn,
        TASK | {"schedule": "*/5 * * * *"},
        {"/schedule": 'a schedule is an object: {"type": "cron", "expression": "*/5 * * * *"}'},
    ),
    (
        TaskIn,
        TASK | {"schedule": "5m"},
        {"/schedule": 'a schedule is an object: {"type": "interval", "every": "5m"}'},
    ),
    (
        TaskIn,
        TASK | {"schedule": "2026-12-24T17:30:00Z"},
        {"/schedule": 'a schedule is an object: {"type": "once", "at": "2026-12-24T17:30:00Z"}'},
    ),
    (
        TaskIn,
        TASK | {"schedule": {"cron": "*/5 * * * *", "timezone": "UTC"}},
        {
            "/schedule/type": "'type' says which kind of schedule it is: "
            '{"type": "cron", "expression": "*/5 * * * *", "timezone": "UTC"}'
        },
    ),
    (
        TaskIn,
        TASK | {"schedule": {"every": "5m"}},
        {
            "/schedule/type": "'type' says which kind of schedule it is: "
            '{"type": "interval", "every": "5m"}'
        },
    ),
    (
        TaskIn,
        TASK | {"schedule": {"type": "crom", "expression": "* * * * *"}},
        {
            "/schedule/type": "there is no type 'crom'; give 'once', 'interval', 'cron', 'calendar', 'any_of', "
            "'after' or 'manual'; did you mean 'cron'?"
        },
    ),
    (
        TaskIn,
        TASK
        | {
            "schedule": {
                "type": "any_of",
                "schedules": [
                    {"type": "cron", "cron": "* * * * *"},
                    "@daily",
                    {"type": "once", "once": 1},
                ],
            }
        },
        {
            "/schedule/schedules/0/expression": "this field is required",
            "/schedule/schedules/0/cron": "this field is not known here; there are: type, start_at, end_at, "
            "max_runs, jitter, exclude, expression, timezone, dst",
            "/schedule/schedules/1": 'a schedule is an object: {"type": "cron", "expression": "@daily"}',
            "/schedule/schedules/2/once": "this field is not known here; there are: type, start_at, end_at, "
            "max_runs, jitter, exclude, timezone, at, delay, dst",
        },
    ),
    (
        TaskIn,
        TASK | {"prioritty": 1, "tags": ["x"] * 33, "retry": {"multiplier": "2"}},
        {
            "/prioritty": "this field is not known here; did you mean 'priority'?",
            "/tags": "give at most 32 items, not 33",
            "/retry/multiplier": "give a number, not a text",
        },
    ),
    (
        TaskIn,
        TASK | {"constraints": [{"type": "kv", "kv": 1}, {"type": "windw"}, {}, 5]},
        {
            "/constraints/0/key": "this field is required",
            "/constraints/0/kv": "this field is not known here; there are: deadline, type, name, task, key, exists, "
            "equals, not_equals, less_than, at_most, greater_than, at_least",
            "/constraints/1/type": "there is no type 'windw'; give 'reachable', 'min_free_disk', 'max_load', "
            "'window' or 'kv'; did you mean 'window'?",
            "/constraints/2/type": "this field is required: it says which kind it is, 'reachable', 'min_free_disk', "
            "'max_load', 'window' or 'kv'",
            "/constraints/3": "give an object, not a number",
        },
    ),
    (
        BatchIn,
        {"items": [TASK, {"handler": 5, "schedule": {"type": "interval", "every": "x", "a/b": 1}}]},
        {
            "/items/1/handler": "give a text, not a number",
            "/items/1/schedule/every": "'x' is not a duration: use '15m', '1h30m', '90s', or ISO 8601 with days, "
            "hours, minutes and seconds ('PT15M', 'P1D'); weeks, months and years have no fixed length",
            "/items/1/schedule/a~1b": "this field is not known here; there are: type, start_at, end_at, max_runs, "
            "jitter, exclude, every, anchor, initial_delay, mode, flex",
        },
    ),
    (BatchIn, {"items": []}, {"/items": "this must not be empty"}),
    (
        KvTransactionIn,
        {
            "operations": [
                {"op": "set", "key": "a"},
                {"op": "incr", "key": "a"},
                {"key": "a"},
                {"op": "check", "key": "a"},
                {"op": "max", "key": "a", "value": [], "max": 1},
                "x",
            ]
        },
        {
            "/operations/0/value": "this field is required",
            "/operations/1/op": "there is no op 'incr'; give 'set', 'set_once', 'delete', 'increment', 'append', "
            "'max', 'expire' or 'check'; did you mean 'increment'?",
            "/operations/2/op": "this field is required: it says which kind it is, 'set', 'set_once', 'delete', "
            "'increment', 'append', 'max', 'expire' or 'check'",
            "/operations/3": "give one of 'version', 'value' and 'absent'",
            "/operations/4/value": "give a number or a text, not a list",
            "/operations/4/max": "this field is not known here; there are: key, op, value",
            "/operations/5": "give an object, not a text",
        },
    ),
    (
        BulkIn,
        {"selector": {"status": ["activ"], "tags": []}},
        {
            "/selector/status/0": "give 'active', 'paused', 'completed' or 'cancelled', not 'activ'; "
            "did you mean 'active'?",
            "/selector/tags": "this must not be empty",
        },
    ),
    (LineIn, [1], {"": "give an object, not a list"}),
    (
        TaskIn,
        TASK
        | {
            "on_failure": {"task": "ops", "success_within": "0.5s"},
            "on_late": {"task": "ops", "after": "0"},
            "expect_every": "0.2s",
        },
        dict.fromkeys(
            ("/on_failure/success_within", "/on_late/after", "/expect_every"),
            "the shortest time is 1 second",
        ),
    ),
    (PingIn, {"message": "x" * 10_001}, {"/message": "give at most 10,000 characters, not 10,001"}),
    (RotateKeyIn, {"overlap": "0"}, {}),
    (
        KeyIn,
        {"name": "a\nb", "scopes": ["work"]},
        {"/name": "give a text without control characters, such as line breaks"},
    ),
]


def known_errors() -> Iterator[Any]:
    for each in list_all_errors():
        context = each["example_context"]
        filled = context and {name: CONTEXT.get(name, value) for name, value in context.items()}
        yield pytest.param(each["type"], filled, id=each["type"])


@pytest.mark.parametrize(("kind", "context"), list(known_errors()))
def test_every_type_of_pydantic_error_has_a_message_in_plain_english(
    kind: Any, context: dict[str, Any] | None
) -> None:
    if kind in {"value_error", "assertion_error"}:
        context = {"error": ValueError("the reason")}
    message = PydanticKnownError(kind, context).message()
    error = {"type": kind, "msg": message, "ctx": context, "loc": ("name",)}

    for said in [
        word([error], Place("")),  # the input may be secret
        *(word([error | {"input": wrong}], Place("")) for wrong in INPUTS),
    ]:
        assert not FOREIGN.search(said), said
        assert said[0].islower() or said[0] in "'\"", said
        assert said != message[:1].lower() + message[1:], said


@pytest.mark.parametrize(("model", "body", "expected"), WRONG_BODIES)
def test_a_fault_is_reported_where_it_is(
    model: type[BaseModel], body: Any, expected: dict[str, str]
) -> None:
    assert messages_of(model, body) == expected


@settings(deadline=None)
@given(data=st.data())
def test_every_fault_of_a_body_has_a_plain_message_and_a_pointer_into_it(
    data: st.DataObject,
) -> None:
    model = data.draw(st.sampled_from(MODELS))
    body = data.draw(bodies(model))

    for pointer, said in messages_of(model, body).items():
        assert not FOREIGN.search(said), (pointer, said)
        assert leads_into(pointer, body, said), (pointer, said)


def messages_of(model: type[BaseModel], body: Any) -> dict[str, str]:
    try:
        model.model_validate(body)
    except ValidationError as error:
        faults = faults_of(error.errors(), body, model.__pydantic_core_schema__)
        return {fault.pointer: fault.detail for fault in faults}
    return {}


def leads_into(pointer: str, body: Any, said: str) -> bool:
    """Return whether a pointer leads to something in the body, or to a field that an object there lacks."""
    *steps, last = [unescape(step) for step in pointer.split("/")][1:] or [""]
    for step in steps:
        body = body[int(step) if isinstance(body, list) else step]
    if not pointer:
        return True
    if isinstance(body, list):
        return int(last) < len(body)
    return isinstance(body, dict) and (last in body or bool(said))


@lru_cache
def field_names(model: type[BaseModel]) -> list[str]:
    return sorted(set(re.findall(r"'([a-z_]{2,20})'", str(model.__pydantic_core_schema__))))


def bodies(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Bodies that have the right fields here and there, and anything in them."""
    names = field_names(model)
    tags = [
        "once",
        "interval",
        "cron",
        "calendar",
        "any_of",
        "after",
        "manual",
        "kv",
        "window",
        "set",
        "max",
    ]
    leaves = st.sampled_from(
        [
            None,
            True,
            0,
            -1,
            1.5,
            "",
            "x",
            "a b",
            "5m",
            "* * * * *",
            "2026-12-24T17:30:00Z",
            "UTC",
            *tags,
        ]
    )
    key = st.sampled_from([*names, "type", "op", "key", "value", "schedule", "interval", "str"])
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(key, inner, max_size=5)
            | st.builds(
                lambda tag, rest: {"type": tag, "op": tag} | rest,
                st.sampled_from(tags),
                st.dictionaries(key, inner, max_size=3),
            )
        ),
        max_leaves=12,
    ).map(lambda body: body if isinstance(body, dict) else {names[0]: body})


def test_every_pattern_has_a_message() -> None:
    found: set[str] = set()
    models: list[type[BaseModel]] = [*MODELS, Settings]
    for model in models:
        found |= set(re.findall(r"'pattern': '(.*?)'(?:,|})", str(model.__pydantic_core_schema__)))
    # What repr has escaped.
    patterns = {each.encode().decode("unicode_escape") for each in found}

    assert len(patterns) > 8
    assert patterns <= {*PATTERNS}


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        (int, "x", "give a whole number, not 'x'"),
        (int, 1.5, "give a whole number, not 1.5"),
        (bool, 7, "give true or false, not 7"),
        (
            UUID,
            "x",
            "give an id as Rota gives them, such as '01a20bd8-3c05-7058-ab7c-c61199886531', not 'x'",
        ),
        (date, [], "give a date such as '2026-12-25', not a list"),
        (time, [], "give a time of day such as '09:00', not a list"),
        (
            datetime,
            [],
            "give a time as RFC 3339 with an offset, such as '2026-12-24T17:30:00+01:00', not a list",
        ),
        (timedelta, [], "give a duration such as 90, '15m' or 'PT15M', not a list"),
        (Decimal, [], "give a number, not a list"),
        (int | str, [], "give a whole number or a text, not a list"),
        (int | float, [], "give a number, not a list"),
    ],
)
def test_types_of_handler_inputs_have_messages_too(kind: Any, wrong: Any, said: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    with pytest.raises(ValidationError) as caught:
        adapter.validate_python(wrong)

    [fault] = faults_of(caught.value.errors(), wrong, adapter.core_schema)
    assert fault.detail == said


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("htpp", ["http", "hello"], "; did you mean 'http'?"),
        ("HTTP", ["http", "hello"], "; did you mean 'http'?"),
        ("incr", ["set", "increment"], "; did you mean 'increment'?"),
        ("lunar", ["calendar", "cron"], ""),
        ("x", ["xylophone"], ""),
        ("", ["a"], ""),
        ("a", [], ""),
    ],
)
def test_the_nearest_name_is_suggested_if_one_is_near(
    name: str, known: list[str], said: str
) -> None:
    assert nearest(name, known) == said
