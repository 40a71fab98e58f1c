"""The protocol between the service and a child process: JSON, one message a line, nothing pickled.

To the child: {"call"} first; {"stop": reason}; and one answer to each of its requests, in their order: {"snapshot"} to
{"load_kv"}, {"table"} to {"open_kv": task}, {"checkpoint"} to {"commit_kv": writes}, {"kv_error": [class, detail]} to
any of them.
From the child: {"line"}, {"progress"} and those requests, at any time; {"hooks": "added"} before its first stop hook,
{"hooks": "called"} after the last; {"outcome"} last.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any

from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.strategies import configure_tagged_union

from rota.domain.kv.entries import Change, KvChange, KvSnapshot
from rota.domain.kv.present import Number
from rota.domain.kv.run_writes import KvWrites, OtherTable
from rota.domain.reasons import FailReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import (
    Cancelled,
    CheckpointResult,
    Conflicted,
    Failed,
    Fatal,
    Outcome,
    RetryRequested,
    Succeeded,
)
from rota.domain.tasks.registration import (
    TaskRegistration,
    read_registration,
    write_registration,
)
from rota.errors import AppError, LeaseLost, NotFound, Sealed, Unavailable
from rota.handlers.calls.call import Call, Limits
from rota.sdk.contexts import RunInfo

Message = Mapping[str, Any]
#: The outcomes that a handler itself can have.
HandlerOutcome = Succeeded | Failed | Fatal | RetryRequested | Cancelled | Conflicted

_KV_ERRORS: Mapping[str, type[AppError]] = {
    each.__name__: each for each in (LeaseLost, NotFound, Sealed)
}
_OVERRIDES: Mapping[type[Any], dict[str, Any]] = {
    KvChange: {"content_type": override(rename="type")},
    # Only the `http` handler has a target, and it never runs in a child.
    RunInfo: {"target": override(omit=True)},
}


@dataclass(frozen=True, slots=True)
class ChildCall:
    """A call as the child receives it; `kv_revision` is that of the task's kv at the claim."""

    handler: str
    info: RunInfo
    kv_revision: int
    limits: Limits


def pack(message: Message) -> bytes:
    """Return a message as a line."""
    return json.dumps(message).encode() + b"\n"


def unpack(line: bytes) -> Message:
    """Read a message; raises ValueError if the line is not one."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("not a message")  # noqa: TRY004  # the same fault as broken JSON
    return message


def write_call(call: Call, limits: Limits) -> Message:
    document = ChildCall(call.handler.name, call.info(), call.run.kv_revision, limits)
    return {"call": _CONVERTER.unstructure(document)}


def read_call(message: Message) -> ChildCall:
    return _CONVERTER.structure(message["call"], ChildCall)


def write_snapshot(snapshot: KvSnapshot) -> Message:
    return {"snapshot": _CONVERTER.unstructure(snapshot)}


def read_snapshot(message: Message) -> KvSnapshot:
    return _CONVERTER.structure(message["snapshot"], KvSnapshot)


def write_table(table: OtherTable) -> Message:
    return {"table": _CONVERTER.unstructure(table)}


def read_table(message: Message) -> OtherTable:
    return _CONVERTER.structure(message["table"], OtherTable)


def write_commit(writes: KvWrites) -> Message:
    return {"commit_kv": _CONVERTER.unstructure(writes)}


def read_commit(message: Message) -> KvWrites:
    """Read the writes of a checkpoint; raises as `read_outcome` does."""
    return _CONVERTER.structure(message["commit_kv"], KvWrites)


def write_checkpoint(result: CheckpointResult) -> Message:
    return {"checkpoint": _CONVERTER.unstructure(result, CheckpointResult)}


def read_checkpoint(message: Message) -> CheckpointResult:
    result: CheckpointResult = _CHECKPOINT(message["checkpoint"], None)
    return result


def write_kv_error(error: Exception) -> Message:
    detail = error.detail if isinstance(error, AppError) else str(error)
    return {"kv_error": [type(error).__name__, detail[:2_000]]}


def read_kv_error(message: Message) -> AppError:
    """Return the error that the child raises."""
    kind, detail = message["kv_error"]
    if kind in _KV_ERRORS:
        return _KV_ERRORS[kind](detail)
    return Unavailable(f"The kv could not be reached: {kind}: {detail}")


def write_outcome(outcome: Outcome) -> Message:
    return {"outcome": _CONVERTER.unstructure(outcome, HandlerOutcome)}


def read_outcome(message: Message) -> HandlerOutcome:
    """Read an outcome; raises AttributeError, LookupError, TypeError, ValueError or OverflowError if it is not one."""
    outcome: HandlerOutcome = _OUTCOME(message["outcome"], None)
    return outcome


def _to_bytes(text: Any, _: Any) -> bytes:
    if isinstance(text, str):
        return text.encode("latin-1")
    raise TypeError(f"{type(text).__name__} in place of a text of bytes")


def _to_text(value: bytes) -> str:
    # Bytes as characters of the same number: JSON has no bytes, and base64 would be longer than most JSON values.
    return value.decode("latin-1")


def _exactly(*kinds: type[Any]) -> Callable[[Any, Any], Any]:
    """Return a reader of values of these types; cattrs alone would convert "1" and true to a number."""

    def read(value: Any, _: Any) -> Any:
        if type(value) in kinds:
            return value
        raise TypeError(f"{type(value).__name__} in place of {kinds[0].__name__}")

    return read


def _reader(kind: type[Any]) -> Callable[[Any, Any], Any]:
    """Return a reader of a dataclass; it raises KeyError if a member is missing."""
    overrides = _OVERRIDES.get(kind, {})
    read = make_dict_structure_fn(kind, _CONVERTER, **overrides)
    members = {each.name: overrides.get(each.name, override()) for each in fields(kind)}
    names = {each.rename or name for name, each in members.items() if not each.omit}

    def read_all(document: Any, _: Any) -> Any:
        if names <= document.keys():
            return read(document, kind)
        raise KeyError(*sorted(names - document.keys()))

    return read_all


def _writer(kind: type[Any]) -> Callable[[Any], Any]:
    return make_dict_unstructure_fn(kind, _CONVERTER, **_OVERRIDES.get(kind, {}))


# Without detailed validation an invalid message raises KeyError, TypeError or ValueError, not a tree of errors.
_CONVERTER = Converter(detailed_validation=False)
for _kind in (str, int, bool):
    _CONVERTER.register_structure_hook(_kind, _exactly(_kind))
_CONVERTER.register_structure_hook(Number, _exactly(int, float))
# Given by itself: as a subclass of str it would be taken for one.
_CONVERTER.register_structure_hook(FailReason, lambda text, _: FailReason(text))
_CONVERTER.register_structure_hook(bytes, _to_bytes)
_CONVERTER.register_unstructure_hook(bytes, _to_text)
_CONVERTER.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
_CONVERTER.register_unstructure_hook(datetime, datetime.isoformat)
_CONVERTER.register_structure_hook(timedelta, lambda seconds, _: timedelta(seconds=seconds))
_CONVERTER.register_unstructure_hook(timedelta, timedelta.total_seconds)
_CONVERTER.register_structure_hook(RunError, lambda document, _: RunError.of(document))
_CONVERTER.register_structure_hook(
    TaskRegistration, lambda document, _: read_registration(document)
)
_CONVERTER.register_unstructure_hook(TaskRegistration, write_registration)
_CONVERTER.register_structure_hook_factory(is_dataclass)(_reader)
_CONVERTER.register_unstructure_hook_factory(is_dataclass)(_writer)
configure_tagged_union(
    Change, _CONVERTER, lambda kind: kind.__name__.lower(), tag_name="op", default=KvChange
)
configure_tagged_union(CheckpointResult, _CONVERTER, tag_name="kind")
configure_tagged_union(HandlerOutcome, _CONVERTER, tag_name="kind")
# Made before the server forks, and not by each child.
_OUTCOME = _CONVERTER.get_structure_hook(HandlerOutcome)
_CHECKPOINT = _CONVERTER.get_structure_hook(CheckpointResult)
for _root in (ChildCall, KvSnapshot, OtherTable, KvWrites):
    _CONVERTER.get_structure_hook(_root)
    _CONVERTER.get_unstructure_hook(_root)
