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
from typing import Any, Generic, TypeVar

from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.strategies import configure_tagged_union

from rota.domain.kv.entries import Change, KvChange, KvSnapshot
from rota.domain.kv.present import Number
from rota.domain.kv.run_writes import KvWrites, OtherTable
from rota.domain.reasons import FailReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import CheckpointResult
from rota.domain.tasks.registration import (
    TaskRegistration,
    read_registration,
    write_registration,
)
from rota.errors import AppError, LeaseLost, NotFound, Sealed, Unavailable
from rota.handlers.calls.call import Limits
from rota.handlers.outcomes import HandlerOutcome
from rota.sdk.contexts import RunInfo

T = TypeVar("T")
Message = Mapping[str, Any]

_KV_ERRORS: Mapping[str, type[AppError]] = {
    each.__name__: each for each in (LeaseLost, NotFound, Sealed)
}
_OVERRIDES: Mapping[type[Any], dict[str, Any]] = {
    KvChange: {"content_type": override(rename="type")},
    # Only the `http` handler has a target and its secrets, and it never runs in a child.
    RunInfo: {name: override(omit=True) for name in ("target", "secrets", "ends_at")},
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


def write_kv_error(error: Exception) -> Message:
    detail = error.detail if isinstance(error, AppError) else str(error)
    return {"kv_error": [type(error).__name__, detail[:2_000]]}


def read_kv_error(message: Message) -> AppError:
    """Return the error that the child raises."""
    kind, detail = message["kv_error"]
    if kind in _KV_ERRORS:
        return _KV_ERRORS[kind](detail)
    return Unavailable(f"The kv could not be reached: {kind}: {detail}")


class Content(Generic[T]):
    """The content of a type of messages: a dataclass, or one of several."""

    def __init__(self, name: str, kind: Any) -> None:
        """Generate the code that converts it, before the fork server forks."""
        self._name = name
        self._kind = kind
        self._read: Callable[[Any, Any], T] = _CONVERTER.get_structure_hook(kind)
        self._write: Callable[[T], Any] = _CONVERTER.get_unstructure_hook(kind)

    def write(self, content: T) -> Message:
        return {self._name: self._write(content)}

    def read(self, message: Message) -> T:
        """Raise AttributeError, LookupError, TypeError, ValueError or OverflowError if the content is not valid."""
        return self._read(message[self._name], self._kind)


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
    """Return a reader of a dataclass; it raises KeyError if a field is missing."""
    overrides = _OVERRIDES.get(kind, {})
    read = make_dict_structure_fn(kind, _CONVERTER, **overrides)
    known = {each.name: overrides.get(each.name, override()) for each in fields(kind)}
    names = {each.rename or name for name, each in known.items() if not each.omit}

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
# Registered by itself: cattrs would take the hook of str for it.
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

CALL = Content[ChildCall]("call", ChildCall)
SNAPSHOT = Content[KvSnapshot]("snapshot", KvSnapshot)
TABLE = Content[OtherTable]("table", OtherTable)
COMMIT = Content[KvWrites]("commit_kv", KvWrites)
CHECKPOINT = Content[CheckpointResult]("checkpoint", CheckpointResult)
OUTCOME = Content[HandlerOutcome]("outcome", HandlerOutcome)
