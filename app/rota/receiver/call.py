"""A call that was verified: what the endpoint is given."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rota.receiver.kv import CallKv
from rota.receiver.outcomes import Claim

#: The fields of a body that carries entries (`target.kv`).
_ENVELOPE = {"input", "kv", "run"}

Report = Callable[[float | None, str | None], Awaitable[None]]


class Unreadable(Exception):
    """A call is Rota's, and cannot be read; the message says why."""


async def _unheard(fraction: float | None, message: str | None) -> None:
    """A call that is answered within its request has nobody who listens to its progress."""


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of a run. `run_id`, `input` and `kv` are signed; of the others, see `from_headers`."""

    run_id: str
    attempt: int
    task: str
    chain_id: str
    scheduled_for: str
    #: The body as JSON, or its field `input` if the target sends entries; the bytes, if it is no JSON.
    input: Any
    kv: CallKv
    body: bytes
    headers: Mapping[str, str]
    fingerprint: str
    #: What the store of outcomes has handed out, such as a transaction of your database.
    claim: Claim | None = None
    report: Report = field(default=_unheard, repr=False)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of the run: pass it to services that should act once."""
        return self.run_id

    @property
    def token(self) -> str | None:
        """The token of the attempt, if the target is `async`: it completes the attempt, so log it nowhere."""
        return self.headers.get("x-rota-token")

    async def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Say how far it is; only an endpoint in the background has somebody who listens."""
        await self.report(fraction, message)

    def of(self, claim: Claim) -> "Call":
        """Return the same call, with what the store has handed out."""
        return replace(self, claim=claim)


def read_call(
    run_id: str, headers: Mapping[str, str], body: bytes, prefixes: Sequence[str]
) -> Call:
    """Return the call in a verified request; raises Unreadable.

    Headers other than `webhook-*` are not signed. So the attempt is taken from the body where that has it, and
    nothing that is sent goes to an address of a header.
    """
    content = _content(headers, body)
    envelope = _envelope(content, run_id)
    run = envelope["run"] if envelope else {}
    signed = {name: envelope[name] for name in ("input", "kv")} if envelope else None
    return Call(
        run_id=run_id,
        attempt=_attempt(run.get("attempt", headers.get("x-rota-attempt", "1"))),
        task=str(run.get("task", headers.get("x-rota-task", ""))),
        chain_id=headers.get("x-rota-chain", run_id),
        scheduled_for=str(run.get("scheduled_for", headers.get("x-rota-scheduled-for", ""))),
        input=envelope["input"] if envelope else content,
        kv=CallKv(envelope["kv"] if envelope else None, prefixes),
        body=body,
        headers=headers,
        fingerprint=_digest(json.dumps(signed, sort_keys=True).encode() if signed else body),
    )


def _content(headers: Mapping[str, str], body: bytes) -> Any:
    if not body:
        return None
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {"", "application/json"} and not media_type.endswith("+json"):
        return body
    try:
        return json.loads(body)
    except ValueError:
        raise Unreadable("the body is not JSON") from None


def _envelope(content: Any, run_id: str) -> dict[str, Any] | None:
    """Return the body if it is `{"input", "kv", "run"}` of this run, and not an input that looks like it."""
    if not isinstance(content, dict) or content.keys() != _ENVELOPE:
        return None
    run, kv = content["run"], content["kv"]
    is_ours = isinstance(run, dict) and isinstance(kv, dict) and run.get("id") == run_id
    return content if is_ours else None


def _attempt(given: Any) -> int:
    text = str(given)
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 10):
        raise Unreadable("X-Rota-Attempt is no number of an attempt")
    return int(text)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
