"""What the service and a child say to each other: JSON, one message a line, nothing pickled.

To the child: {"call"} first; {"stop": reason}; and one answer to each of its questions, in their order: {"snapshot"} to
{"load_kv"}, {"table"} to {"open_kv": task}, {"committed": revision} or {"outcome"} to {"commit_kv": work}, {"kv_error":
[kind, detail]} to any of them.
From the child: {"line"}, {"progress"} and those questions as they come; {"hooks": "added"} before its first stop hook,
{"hooks": "called"} after the last; {"outcome"} last.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from rota.domain.kv.entries import Change, KvChange, KvSnapshot
from rota.domain.kv.operations import Append, Check, Increment, Max
from rota.domain.kv.run_writes import Committed, KvWork, OtherTable, TableChanges
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
from rota.domain.tasks.registration import read_registration, write_registration
from rota.errors import AppError, LeaseLost, NotFound, Sealed, Unavailable
from rota.handlers.calls.call import Call
from rota.sdk.contexts import RunInfo

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """A call as the child gets it."""

    handler: str
    info: RunInfo
    kv_revision: int
    max_result_bytes: int
    max_value_bytes: int


def pack(message: Message) -> bytes:
    return json.dumps(message).encode() + b"\n"


def unpack(line: bytes) -> Message:
    """Read one message; raises ValueError for what is none."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("not a message")  # noqa: TRY004  # the same fault as broken JSON
    return message


def order(call: Call, max_result_bytes: int, max_value_bytes: int) -> Message:
    info = {
        "run_id": call.run_id,
        "task": call.task,
        "attempt": call.attempt,
        "failures": call.failures,
        "trigger": call.trigger,
        "scheduled_for": call.scheduled_for.isoformat(),
        "input_json": call.input,
    }
    return {
        "call": {
            "handler": call.handler.name,
            "info": info,
            "kv_revision": call.kv_revision,
            "max_result_bytes": max_result_bytes,
            "max_value_bytes": max_value_bytes,
        }
    }


def read_order(message: Message) -> Order:
    call = dict(message["call"])
    info = dict(call.pop("info"))
    info["scheduled_for"] = datetime.fromisoformat(info["scheduled_for"])
    return Order(info=RunInfo(**info), **call)


def snapshot(kv: KvSnapshot) -> Message:
    entries = {key: _text(value) for key, value in kv.entries.items()}
    more = {"types": dict(kv.types), "versions": dict(kv.versions)}
    return {"snapshot": {"entries": entries, "revision": kv.revision, **more}}


def read_snapshot(message: Message) -> KvSnapshot:
    read = message["snapshot"]
    entries = {key: _bytes(value) for key, value in read["entries"].items()}
    return KvSnapshot(entries, read["revision"], read["types"], read["versions"])


def table(other: OtherTable) -> Message:
    own = {"task_id": other.task_id, "granted": other.granted}
    return {"table": {**own, **snapshot(other.snapshot)}}


def read_table(message: Message) -> OtherTable:
    read = message["table"]
    return OtherTable(read["task_id"], read_snapshot(read), read["granted"])


def work(done: KvWork) -> Message:
    changes = [_change(change) for change in done.changes]
    return {"changes": changes, "revision": done.revision, "others": _others(done.others)}


def read_work(said: Message) -> KvWork:
    return KvWork(_read_changes(said), int(said["revision"]), _read_others(said))


def check_pointed(answer: CheckpointResult) -> Message:
    return {"committed": answer.revision} if isinstance(answer, Committed) else outcome(answer)


def read_check_pointed(message: Message) -> CheckpointResult:
    if "committed" in message:
        return Committed(message["committed"])
    ended = read_outcome(message)
    assert isinstance(ended, Conflicted | Failed | Fatal | Cancelled)
    return ended


def kv_error(error: Exception) -> Message:
    detail = error.detail if isinstance(error, AppError) else str(error)
    return {"kv_error": [type(error).__name__, detail[:2_000]]}


def read_kv_error(message: Message) -> AppError:
    """Return what the child is to raise."""
    kind, detail = message["kv_error"]
    if kind in _KV_ERRORS:
        return _KV_ERRORS[kind](detail)
    return Unavailable(f"The kv could not be reached: {kind}: {detail}")


_KV_ERRORS: dict[str, type[AppError]] = {
    each.__name__: each for each in (LeaseLost, NotFound, Sealed)
}


def outcome(ended: Outcome) -> Message:
    """Write one of the outcomes that a handler itself can have."""
    match ended:
        case Succeeded():
            said = {
                "result": ended.result,
                "changes": [_change(change) for change in ended.changes],
                "kv_revision": ended.kv_revision,
                "registrations": [write_registration(made) for made in ended.registrations],
                "next_fire": None if ended.next_fire is None else ended.next_fire.isoformat(),
                "others": _others(ended.others),
            }
        case Conflicted():
            said = {"key": ended.key, "task": ended.task}
        case Failed():
            said = {"error": asdict(ended.error)}
        case Fatal():
            said = {"error": asdict(ended.error), "reason": ended.reason}
        case RetryRequested():
            said = {"error": asdict(ended.error), "after": _seconds(ended.after)}
            said["lengthens"] = ended.lengthens
        case _:
            said = {}
    return {"outcome": {"kind": type(ended).__name__, **said}}


def read_outcome(message: Message) -> Outcome:
    """Read it; raises KeyError, TypeError or ValueError for what is none."""
    said = message["outcome"]
    readers: dict[str, Callable[[Message], Outcome]] = {
        "Succeeded": _succeeded,
        "Failed": lambda said: Failed(_error(said)),
        "Fatal": lambda said: Fatal(_error(said), FailReason(said["reason"])),
        "RetryRequested": lambda said: RetryRequested(
            _timedelta(said["after"]), _error(said), bool(said["lengthens"])
        ),
        "Cancelled": lambda _: Cancelled(),
        "Conflicted": lambda said: Conflicted(_as_text(said["key"]), _as_maybe_text(said["task"])),
    }
    return readers[said["kind"]](said)


def _succeeded(said: Message) -> Succeeded:
    registrations = tuple(read_registration(made) for made in said["registrations"])
    next_fire = said["next_fire"]
    return Succeeded(
        str(said["result"]),
        _read_changes(said),
        int(said["kv_revision"]),
        registrations,
        None if next_fire is None else datetime.fromisoformat(next_fire),
        _read_others(said),
    )


def _as_text(said: Any) -> str:
    if not isinstance(said, str):
        raise TypeError(f"{type(said).__name__} in place of a text")
    return said


def _as_maybe_text(said: Any) -> str | None:
    return None if said is None else _as_text(said)


def _error(said: Message) -> RunError:
    return RunError.of(said["error"])


def _others(others: Iterable[TableChanges]) -> list[Message]:
    return [
        {
            "task_id": each.task_id,
            "task": each.task,
            "changes": [_change(change) for change in each.changes],
            "revision": each.revision,
        }
        for each in others
    ]


def _read_others(said: Message) -> tuple[TableChanges, ...]:
    return tuple(
        TableChanges(each["task_id"], each["task"], _read_changes(each), each["revision"])
        for each in said["others"]
    )


def _read_changes(said: Message) -> tuple[Change, ...]:
    return tuple(_read_change(change) for change in said["changes"])


def _change(change: Change) -> Message:
    match change:
        case KvChange():
            value = None if change.value is None else _text(change.value)
            rest = {"ttl": _seconds(change.ttl), "replaces": change.replaces}
            return {"key": change.key, "value": value, "type": change.content_type, **rest}
        case Increment():
            return {"op": "increment", "key": change.key, "by": change.by}
        case Append():
            said = {"op": "append", "key": change.key, "value": _text(change.value)}
            return {**said, "max_length": change.max_length}
        case Max():
            return {"op": "max", "key": change.key, "value": _text(change.value)}
        case Check():
            value = None if change.value is None else _text(change.value)
            return {"op": "check", "key": change.key, "version": change.version, "value": value}


def _read_change(said: Message) -> Change:
    match said.get("op"):
        case "increment":
            return Increment(said["key"], said["by"])
        case "append":
            return Append(said["key"], _bytes(said["value"]), said["max_length"])
        case "max":
            return Max(said["key"], _bytes(said["value"]))
        case "check":
            return Check(said["key"], said["version"], _maybe_bytes(said["value"]))
        case _:
            ttl = _timedelta(said["ttl"])
            value = _maybe_bytes(said["value"])
            return KvChange(said["key"], value, ttl, said["replaces"], said["type"])


def _text(value: bytes) -> str:
    # Bytes as characters of the same number: JSON has no bytes, and base64 would be longer than most JSON values.
    return value.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _maybe_bytes(text: str | None) -> bytes | None:
    return None if text is None else _bytes(text)


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _timedelta(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
