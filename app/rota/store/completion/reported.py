"""Outcomes that are reported from outside: what an outcome document makes of an attempt, beside its task's kv."""

from datetime import datetime

from sqlalchemy import Connection

from rota.domain.http_target.outcome_document import OutcomeIn
from rota.domain.http_target.outcome_writes import draft_write, reads_entries
from rota.domain.kv.draft import KvDraft
from rota.domain.kv.entries import CheckFailed, KvLimits
from rota.domain.kv.operation_requests import OperationIn
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Conflicted, Failed, Fatal, Outcome, RetryRequested, Succeeded
from rota.errors import AppError, Fault, Invalid, NotJson, TooLarge
from rota.store.kv import entries as kv

_MOST_TEXT = 2_000


def reported(
    connection: Connection,
    run: ClaimedRun,
    document: OutcomeIn,
    limits: KvLimits,
    most_result_bytes: int,
    now: datetime,
) -> Outcome:
    """Return the outcome of an attempt as a document declares it; its operations see the entries that are there now.

    A write to an entry that another writer has changed since the attempt began is a conflict, as a failed check on
    such an entry is. Raises Invalid or TooLarge, with the pointer, for what can never be stored.
    """
    if document.retry:
        error = RunError("retry", json_text.printable(document.retry.reason, _MOST_TEXT))
        return RetryRequested(document.retry.after, error)
    if document.fail:
        return Fatal(RunError("fail", json_text.printable(document.fail.reason, _MOST_TEXT)))
    result = _result(document, most_result_bytes)
    # `run.kv_revision` is that of the attempt's begin: the worker is sure to have seen nothing newer.
    draft = KvDraft(limits.value_bytes, run.kv_revision)
    draft.hold()
    if any(map(reads_entries, document.kv)):
        draft.load(kv.snapshot(connection, run.task_id, now))
    for index, operation in enumerate(document.kv):
        verdict = _write(draft, index, operation)
        if verdict is not None:
            return verdict
    return Succeeded(result, draft.changes, draft.revision or 0)


def _result(document: OutcomeIn, most_bytes: int) -> str:
    try:
        result = json_text.dumps(document.result)
    except NotJson as error:
        raise Invalid(f"/result: {error.detail}", Fault("/result", error.detail)) from None
    size = len(result.encode())
    if size > most_bytes:
        raise TooLarge(f"The result has {size} bytes; the limit is {most_bytes}.")
    return result


def _write(draft: KvDraft, index: int, operation: OperationIn) -> Conflicted | Failed | None:
    try:
        draft_write(draft, operation)
    except CheckFailed as error:
        if error.changed:  # the worker may have read the entry before the change
            return Conflicted(operation.key)
        message = json_text.printable(f"/kv/{index}: {error.detail}", _MOST_TEXT)
        return Failed(RunError("kv.check", message))
    except TooLarge:
        raise
    except AppError as error:
        pointer = f"/kv/{index}"
        raise Invalid(f"{pointer}: {error.detail}", Fault(pointer, error.detail)) from None
    return None
