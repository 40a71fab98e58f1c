"""Endpoints for Rota's calls in a FastAPI app: verified, once for each run, answered with an outcome."""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, overload

from fastapi import HTTPException, Request, Response

from rota.clock import Clock, SystemClock
from rota.receiver.background import Background
from rota.receiver.call import Call, Unreadable, read_call
from rota.receiver.outcomes import InMemoryOutcomes, Outcomes, Record
from rota.receiver.results import OUTCOME_TYPE, answer_of
from rota.receiver.signature import TOLERANCE, VARIABLE, NotSigned, read_keys, verify
from rota.receiver.wrapping import Endpoint, endpoint_of, wrapped

__all__ = ["OUTCOME_TYPE", "Receiver"]

#: Rota sends bodies of 1 MiB at most, and beside the input the entries that the target names.
MOST_BYTES = 4 * 1024 * 1024
_NOT_ASYNC = 'this endpoint answers later: set "async": true in the target'

Route = Callable[..., Awaitable[Response]]


class Receiver:
    """Verifies calls by its keys, and remembers their outcomes."""

    def __init__(
        self,
        *keys: str,
        outcomes: Outcomes | None = None,
        tolerance: float = TOLERANCE,
        most_bytes: int = MOST_BYTES,
        url: str | None = None,
        heartbeat_every: float = 20.0,
        clock: Clock | None = None,
    ) -> None:
        """Raises ValueError for what is no key.

        `keys`: `whsec_…`, any of which may have signed; without one those in ROTA_SIGNING_KEYS, which is read at the
        first call. `outcomes`: where they are kept; in memory, if left out. `tolerance`: how old a call may be, in
        seconds. `url`: where endpoints in the background report to (ROTA_URL), with a sign of life each
        `heartbeat_every` seconds.
        """
        self._keys = read_keys(keys) if keys else ()
        self._outcomes = outcomes or InMemoryOutcomes()
        self._tolerance = tolerance
        self._most_bytes = most_bytes
        self._clock = clock or SystemClock()
        self._background = Background(url, heartbeat_every, self._outcomes)

    @overload
    def endpoint(self, function: Callable[..., Any]) -> Route: ...

    @overload
    def endpoint(
        self, *, kv: Sequence[str] = (), background: bool = False
    ) -> Callable[[Callable[..., Any]], Route]: ...

    def endpoint(
        self,
        function: Callable[..., Any] | None = None,
        *,
        kv: Sequence[str] = (),
        background: bool = False,
    ) -> Any:
        """Make a function the endpoint of a route: `@app.post("/digest")` above `@receiver.endpoint`.

        Its first parameter is the `Call`. One that is called `input` gets the input, checked against its annotation;
        all others are FastAPI's, `Depends` included. It is `async def`, or a `def`, which is called in a thread.

        `kv`: prefixes such as `seen:*` that the target sends, so that a missing entry of these is no error.
        `background`: the call is answered with 202, and its outcome is reported when the function has ended
        (`"async": true` in the target).
        """
        prefixes = [each.removesuffix("*") for each in kv if each.endswith("*")]

        def decorate(decorated: Callable[..., Any]) -> Route:
            endpoint = endpoint_of(decorated)
            answer = self._begin if background else self._answer

            async def verified(request: Request) -> Call:
                return await self.verify(request, prefixes)

            return wrapped(endpoint, verified, answer)

        return decorate if function is None else decorate(function)

    async def verify(self, request: Request, prefixes: Sequence[str] = ()) -> Call:
        """Return the call in a request; raises HTTPException: 401 if it is not signed, 400 if it cannot be read."""
        body = await self._body(request)
        try:
            now = self._clock.now().timestamp()
            self._keys = self._keys or read_keys(os.environ.get(VARIABLE, "").split(","))
            run_id = verify(self._keys, request.headers, body, now, self._tolerance)
            return read_call(run_id, request.headers, body, prefixes)
        except NotSigned as error:
            raise HTTPException(401, str(error)) from None
        except Unreadable as error:
            raise HTTPException(400, str(error)) from None

    async def _body(self, request: Request) -> bytes:
        """Return the bytes that were signed: nothing may parse them before."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._most_bytes:
                raise HTTPException(413, f"the body has more than {self._most_bytes} bytes")
        return bytes(body)

    async def _answer(self, endpoint: Endpoint, call: Call, values: dict[str, Any]) -> Response:
        async with self._outcomes.exclusively(call.run_id) as claim:
            known = replayed(claim.record, call)
            if known is None:
                claim.record = (await answer_of(endpoint, call.of(claim), values)).record(call)
                known = claim.record.outcome
        return Response(known, media_type=OUTCOME_TYPE)

    async def _begin(self, endpoint: Endpoint, call: Call, values: dict[str, Any]) -> Response:
        if call.token is None:
            raise HTTPException(400, _NOT_ASYNC)
        async with self._outcomes.exclusively(call.run_id) as claim:
            known = replayed(claim.record, call)
            if known is not None:
                return Response(known, media_type=OUTCOME_TYPE)
            self._background.begin(endpoint, call, values)
        return Response(status_code=202)


def replayed(record: Record | None, call: Call) -> bytes | None:
    """Return the outcome of an earlier call that answers this one as well; raises HTTPException for an old attempt.

    The number of an attempt may come from a header, which is not signed: whoever repeats a call with another number
    gets the outcome that is known, and keeps no later attempt from its own.
    """
    if record is None:
        return None
    is_final = record.status != "retry"
    # What was computed from other entries would be refused again.
    if call.attempt == record.attempt or (is_final and record.fingerprint == call.fingerprint):
        return record.outcome
    if is_final and call.attempt < record.attempt:
        raise HTTPException(409, f"attempt {record.attempt} of this run was here before")
    return None
