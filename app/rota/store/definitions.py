"""Definitions of tasks, as they are stored: JSON, in which fields with their defaults are left out."""

from pydantic import ValidationError

from rota.domain.http_target.secret_headers import stored_header
from rota.domain.primitives.bounded_cache import LONGEST, bounded_cache
from rota.domain.primitives.bounds import STORED
from rota.domain.primitives.json import json_text
from rota.domain.schedules.definitions import Manual, Unreadable
from rota.domain.tasks.definition import TaskDefinition
from rota.domain.validation.locations import Place
from rota.domain.validation.messages import word
from rota.errors import Invalid


def write_definition(definition: TaskDefinition) -> str:
    """Return the column's text: what differs from the defaults, without the input, which has its own column."""
    text = definition.model_dump_json(exclude={"input"}, exclude_defaults=True)
    if definition.target is None or not definition.target.has_sealed_headers:
        return text
    document = json_text.loads(text)
    headers = definition.target.headers
    document["target"]["headers"] = {name: stored_header(headers[name]) for name in headers}
    return json_text.dumps(document)


def read_definition(text: str) -> TaskDefinition:
    """Return the definition of a column (without its input); frozen, so it is shared.

    One that this version cannot read (after a downgrade, for example) must not affect other tasks: what can be read of
    it is returned with a schedule that cannot be planned, so that its task is paused, and can be declared anew or
    deleted.
    """
    return _read(text) if len(text) <= LONGEST else _read_large(text)


@bounded_cache(len)
def _read(text: str) -> TaskDefinition:
    try:
        return TaskDefinition.model_validate_json(text, context=STORED)
    except ValidationError as error:
        return _salvage(text, error)


# Few tasks have large ones, which each run of theirs reads several times: the latest stay, apart from the others.
# Bytes of text; a parsed definition may take thirty times as much. A request body is not longer.
_MOST_LARGE = 1_200_000


@bounded_cache(len, most_bytes=_MOST_LARGE, longest=_MOST_LARGE)
def _read_large(text: str) -> TaskDefinition:
    return _read(text)


def _salvage(text: str, error: ValidationError) -> TaskDefinition:
    faults = error.errors(include_url=False, include_input=False)
    reason = "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {word([fault], Place(''))}" for fault in faults
    )
    try:
        fields = json_text.loads(text)
    except Invalid:
        fields = {}
    unread = {str(fault["loc"][0]) for fault in faults if fault["loc"]}
    kept = {name: value for name, value in fields.items() if name not in unread}
    try:
        read = TaskDefinition.model_validate(
            kept | {"schedule": {"type": "manual"}}, context=STORED
        )
    except ValidationError:
        schedule = Manual(type="manual")
        read = TaskDefinition.model_construct(
            handler=str(fields.get("handler", "")), schedule=schedule
        )
    return read.model_copy(update={"schedule": Unreadable(reason=reason[:300])})
