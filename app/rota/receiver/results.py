"""Outcomes: the documents that report the result of a call."""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from rota.receiver.call import Call
from rota.receiver.outcomes import Record, Status
from rota.receiver.wrapping import Endpoint
from rota.sdk.exceptions import Fail, Retry

OUTCOME_TYPE = "application/vnd.rota.outcome+json"


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call, and the document that reports it."""

    status: Status
    outcome: bytes

    def record(self, call: Call) -> Record:
        """Return what is kept of it."""
        return Record(call.attempt, call.fingerprint, self.status, self.outcome)


async def answer_of(endpoint: Endpoint, call: Call, values: dict[str, Any]) -> Answer:
    """Call the endpoint, and return its result. Other exceptions than Retry and Fail pass through."""
    try:
        result = await endpoint.call(call, _checked(endpoint, call), values)
    except Retry as retry:
        return again(retry)
    except Fail as failure:
        return Answer("failed", _document(fail={"reason": failure.reason}))
    return Answer("succeeded", _document(result=result, kv=call.kv.operations))


def again(retry: Retry) -> Answer:
    """Return the answer that asks for another attempt."""
    after = None if retry.after is None else retry.after.total_seconds()
    return Answer("retry", _document(retry={"after": after, "reason": retry.reason}))


def _checked(endpoint: Endpoint, call: Call) -> Any:
    """Return the input as the endpoint's annotation has it; raises Fail."""
    try:
        return endpoint.read_input(call)
    except ValidationError as error:
        raise _unfit(error) from None


def _unfit(error: ValidationError) -> Fail:
    """Return the failure of an input that does not fit, with the places and without the values."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    named = [f"/{'/'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:5]]
    return Fail(f"the input does not fit: {'; '.join(named)}")


def _document(**fields: Any) -> bytes:
    return json.dumps(to_jsonable_python(fields), allow_nan=False).encode()
