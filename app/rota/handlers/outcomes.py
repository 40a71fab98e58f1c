"""The outcome of what a handler returned or raised; neither is trusted."""

import asyncio
import traceback
from dataclasses import is_dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from rota.domain.chains.result_merge import without_runs
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.sealed import NOT_SEALED, is_sealed
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import (
    Cancelled,
    Conflicted,
    Failed,
    Fatal,
    Postponed,
    RetryRequested,
    Succeeded,
    TimedOut,
)
from rota.domain.validation.faults import faults_of
from rota.errors import NotJson, Sealed
from rota.handlers.registry import RegisteredHandler
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.exceptions import Fail, Retry

#: The outcomes that a handler itself can have.
HandlerOutcome = Succeeded | Failed | Fatal | RetryRequested | Cancelled | Conflicted
#: Those of built-in handlers.
BuiltInOutcome = HandlerOutcome | Postponed | TimedOut

_MOST_MESSAGE = 2_000
_MOST_TRACEBACK = 16 * 1_024
_MOST_FRAMES = 50
_NOT_OPENED = (
    "The input does not open: it is encrypted with a key that ROTA_ENCRYPTION_KEYS does not have, or its row was "
    "changed outside Rota."
)
_NOT_ENCRYPTED = (
    "The input is not encrypted, as secret inputs are: its row was changed outside Rota, or it is from before it "
    "was to be secret. Run it again with another one."
)
_OURS = str(Path(__file__).parent)


class EndsWith(Exception):
    """Raised by built-in handlers to end with an outcome that `Retry` and `Fail` cannot express."""

    def __init__(self, outcome: BuiltInOutcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class GoesOnOutside(Exception):  # named by what has happened
    """Raised by the `http` handler if its target has taken the attempt on, and will report the outcome later."""


class InvalidInput(Exception):
    """The stored input is not valid for the handler's model; another attempt cannot change that."""


def arguments(handler: RegisteredHandler, input_json: str) -> tuple[Any, ...]:
    """Return the arguments after the context; raises InvalidInput, or Sealed for an input that no key decrypts."""
    if is_sealed(input_json):
        raise Sealed(_NOT_ENCRYPTED if input_json == NOT_SEALED else _NOT_OPENED)
    if not handler.takes_input:
        return ()
    if handler.adapter is None:
        return (json_text.loads(input_json),)
    try:
        return (handler.adapter.validate_json(input_json),)
    except ValidationError as error:
        taken = _taken_without_runs(handler.adapter, input_json)
        if taken is not None:
            return taken
        raise InvalidInput(_faults(error, input_json, handler.adapter.core_schema)) from None


def _taken_without_runs(adapter: TypeAdapter[Any], input_json: str) -> tuple[Any] | None:
    """Return the input of a run of a chain without `runs`; None if it has none, or is not valid without it either."""
    without = without_runs(json_text.loads(input_json))
    if without is None:
        return None
    try:
        return (adapter.validate_json(json_text.dumps(without)),)
    except ValidationError:
        return None


def returned(value: Any, draft: AttemptDraft, max_bytes: int) -> HandlerOutcome:
    """Return the outcome of a handler that returned `value`; the verdict of a checkpoint has precedence."""
    if draft.verdict is not None:
        return draft.verdict
    if draft.committing:
        message = "It returned while a checkpoint was in progress: it is unknown whether that was committed."
        return Failed(RunError("kv.commit", message))
    try:
        result = json_text.dumps(_plain(value))
    except NotJson as error:
        return Failed(RunError("result.not_json", f"The result cannot be stored: {error.detail}"))
    size = len(result) if result.isascii() else len(result.encode())
    if size > max_bytes:
        message = f"The result has {size} bytes; the limit is {max_bytes}."
        return Failed(RunError("result.too_large", message))
    writes = draft.writes()
    return Succeeded(
        result,
        writes.changes,
        writes.revision,
        draft.registrations,
        draft.next_fire,
        writes.others,
        draft.timings,
    )


def raised(error: BaseException, draft: AttemptDraft, *, cancelled: bool) -> BuiltInOutcome:
    """Return the outcome of a handler that raised; `cancelled`: its end had been requested.

    The verdict of a checkpoint has precedence, except over a cancel.
    """
    try:
        outcome = _outcome_of(error, cancelled=cancelled)
    except BaseException as another:  # noqa: BLE001  # code of the exception itself raised
        kind = type(another).__name__
        outcome = Failed(RunError("unknown", f"an exception that cannot be shown ({kind})"))
    if draft.verdict is None or isinstance(outcome, Cancelled):
        return outcome
    return draft.verdict


def _outcome_of(error: BaseException, *, cancelled: bool) -> BuiltInOutcome:
    match error:
        case EndsWith():
            return error.outcome
        case Retry() | Fail():
            return _requested(error)
        case InvalidInput():
            return Fatal(RunError("input.invalid", _text(error)))
        case Sealed():
            return Failed(RunError("sealed", error.detail))
        case asyncio.CancelledError() if cancelled:
            return Cancelled()
        case _:
            return Failed(_describe(error))


def _requested(error: Retry | Fail) -> HandlerOutcome:
    if isinstance(error, Fail):
        return Fatal(RunError("fail", _text(error.reason)))
    return RetryRequested(error.after, RunError("retry", _text(error.reason)))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return _plain_dataclass(value)
    return value


def _plain_dataclass(value: Any) -> Any:
    try:
        # Not null for NaN: a result is stored unchanged, or refused.
        return to_jsonable_python(value, inf_nan_mode="constants")
    except ValueError as error:
        raise NotJson(f"not a JSON value: {error}"[:300]) from None


def _describe(error: BaseException) -> RunError:
    kind = type(error)
    builtin = kind.__module__ == "builtins"
    name = kind.__qualname__ if builtin else f"{kind.__module__}.{kind.__qualname__}"
    return RunError(json_text.printable(name, 200), _text(error), _traceback(error))


def _text(value: object) -> str:
    try:
        text = str(value)
    except BaseException as error:  # noqa: BLE001  # __str__ is code of the handler
        text = f"(its text cannot be shown: __str__ raised {type(error).__name__})"
    return json_text.printable(text, _MOST_MESSAGE)


def _traceback(error: BaseException) -> str | None:
    own = _without_our_frames(error.__traceback__)
    try:
        lines = traceback.format_exception(type(error), error, own, limit=-_MOST_FRAMES)
    except Exception:  # noqa: BLE001  # formatting runs the handler's __str__ and __repr__
        return None
    text = json_text.printable("".join(lines), 64 * _MOST_TRACEBACK)
    return text if len(text) <= _MOST_TRACEBACK else "…" + text[1 - _MOST_TRACEBACK :]


def _without_our_frames(tb: TracebackType | None) -> TracebackType | None:
    kept = tb
    while kept is not None and kept.tb_frame.f_code.co_filename.startswith(_OURS):
        kept = kept.tb_next
    return kept


def _faults(error: ValidationError, input_json: str, schema: Any) -> str:
    errors = error.errors(include_url=False, include_input=False)  # the input may be secret
    faults = faults_of(errors, json_text.loads(input_json), schema)
    shown = [f"{fault.pointer or '(all of it)'}: {fault.detail}" for fault in faults]
    more = [f"and {faults.omitted:,} more"] if faults.omitted else []
    return "The handler does not accept this input any more: " + "; ".join([*shown, *more])
