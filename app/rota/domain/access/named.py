"""The names in the definition of a task: which fields hold them, and which of them a key may not use.

A name is only compared with the limits of the key, never looked up. So a refusal says nothing about whether there is
such a task.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

from pydantic import BaseModel

from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.primitives.texts.english import and_list
from rota.errors import Fault


class NameKind(StrEnum):
    """What a field names."""

    TASK = "task"
    QUEUE = "queue"
    CONCURRENCY_KEY = "concurrency key"


#: Where a definition holds names; `*` is each item of a list. A test compares this with the schema.
FIELDS: Mapping[tuple[str, ...], NameKind] = {
    ("queue",): NameKind.QUEUE,
    ("concurrency", "key"): NameKind.CONCURRENCY_KEY,
    ("schedule", "tasks", "*"): NameKind.TASK,
    ("constraints", "*", "task"): NameKind.TASK,
    ("kv_grants", "*"): NameKind.TASK,
    ("on_failure", "task"): NameKind.TASK,
    ("on_success", "task"): NameKind.TASK,
    ("on_skipped", "task"): NameKind.TASK,
    ("on_late", "task"): NameKind.TASK,
}


class NamedField(NamedTuple):
    """A name in a definition; `rule` is the part of the definition that uses it."""

    pointer: str
    kind: NameKind
    name: str
    rule: Any


def names_in(definition: BaseModel) -> Iterator[NamedField]:
    """Yield the names in a definition, with the pointers of their fields."""
    for path, kind in FIELDS.items():
        first, *rest = path
        for pointer, name, rule in _found(getattr(definition, first), rest, f"/{first}", None):
            yield NamedField(pointer, kind, name, rule)


def _found(
    value: Any, path: list[str], pointer: str, rule: BaseModel | None
) -> Iterator[tuple[str, str, Any]]:
    rule = value if isinstance(value, BaseModel) else rule
    if not path:
        if isinstance(value, str):
            yield pointer, value, rule or value
        return
    step, *rest = path
    if step != "*":  # other forms of the same field, such as other schedules, may not have it
        yield from _found(getattr(value, step, None), rest, f"{pointer}/{step}", rule)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _found(item, rest, f"{pointer}/{index}", rule)


def outside(caller: Principal, definition: BaseModel) -> list[NamedField]:
    """Return the names in a definition that a client may not use."""
    if caller.tasks.is_unlimited and caller.queues.is_unlimited:
        return []
    return [
        each for each in names_in(definition) if not _limit_of(caller, each.kind).covers(each.name)
    ]


def not_kept(found: list[NamedField], present: BaseModel) -> list[NamedField]:
    """Return the fields whose rule the present definition does not have in the same form.

    What another client has set up between teams stays when the task is declared again as it was read. A rule that was
    changed counts as new, as another bound in a constraint would ask for something else of the same entry.
    """
    there = {_identity(each) for each in names_in(present)}
    return [each for each in found if _identity(each) not in there]


def _identity(of: NamedField) -> tuple[str, str, str]:
    field = of.pointer.split("/", 2)[1]
    text = of.rule.model_dump_json() if isinstance(of.rule, BaseModel) else of.rule
    return field, of.name, text


def fault_of(caller: Principal, found: NamedField) -> Fault:
    """Return the fault of a name that a client may not use."""
    return Fault(found.pointer, rule_of(_limit_of(caller, found.kind), found.kind))


def rule_of(limit: NameLimit, kind: NameKind) -> str:
    """Return which names a limit allows, for an error."""
    if not limit.prefixes:
        return f"this key may not use any {kind}"
    allowed = and_list([repr(prefix) for prefix in limit.prefixes], "or")
    return f"this key may only use a {kind} whose name begins with {allowed}"


def _limit_of(caller: Principal, kind: NameKind) -> NameLimit:
    match kind:
        case NameKind.TASK | NameKind.CONCURRENCY_KEY:
            return caller.tasks
        case NameKind.QUEUE:
            return caller.queues
        case _:
            assert_never(kind)
