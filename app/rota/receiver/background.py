"""Endpoints that continue after their 202: they report that they are alive, and their results."""

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from rota.client import AsyncRota, ProblemError, RotaError
from rota.receiver.call import Call
from rota.receiver.outcomes import Outcomes
from rota.receiver.results import Answer, again, answer_of
from rota.receiver.wrapping import Endpoint
from rota.sdk.exceptions import Retry

_log = logging.getLogger("rota.receiver")

_GONE = {404, 409}  # it belongs to another attempt, or to nobody


@dataclass(slots=True)
class _Work:
    """What continues for a run: a later attempt of it takes the same work over, with its own token."""

    call: Call
    task: asyncio.Task[None] | None = None


class Background:
    """The work that continues in this process."""

    def __init__(self, url: str | None, heartbeat_every: float, outcomes: Outcomes) -> None:
        self._url = url
        self._every = heartbeat_every
        self._outcomes = outcomes
        self._works: dict[str, _Work] = {}

    def begin(self, endpoint: Endpoint, call: Call, values: dict[str, Any]) -> None:
        """Begin to work, or let the work that continues for this run report by the token of this attempt."""
        going = self._works.get(call.run_id)
        if going and going.call.fingerprint == call.fingerprint:
            going.call = call
            return
        if going and going.task:
            going.task.cancel()  # it was given other entries
        work = self._works[call.run_id] = _Work(call)
        work.task = asyncio.create_task(self._run(endpoint, work, values))

    async def _run(self, endpoint: Endpoint, work: _Work, values: dict[str, Any]) -> None:
        run_id = work.call.run_id
        async with AsyncRota(self._url) as rota:
            beating = asyncio.create_task(self._beat(rota, work))
            try:
                answer = await self._worked(rota, endpoint, work, values)
                async with self._outcomes.exclusively(run_id) as claim:
                    claim.record = answer.record(work.call)
                    self._leave(work)
                await self._send(rota, work, "complete", json.loads(answer.outcome))
            except ProblemError as error:
                _log.warning("the outcome of run %s was refused: %s", run_id, error)
            except RotaError as error:
                _log.warning("the outcome of run %s could not be reported: %s", run_id, error)
            finally:
                self._leave(work)
                beating.cancel()

    async def _worked(
        self, rota: AsyncRota, endpoint: Endpoint, work: _Work, values: dict[str, Any]
    ) -> Answer:
        async def report(fraction: float | None, message: str | None) -> None:
            await self._heard(rota, work, {"progress": fraction, "message": message})

        try:
            return await answer_of(endpoint, replace(work.call, report=report), values)
        except Exception as error:  # noqa: BLE001  # it is reported to the run, as by a 500
            _log.exception("the endpoint of run %s has failed", work.call.run_id)
            return again(Retry(reason=f"{type(error).__name__} in the receiver"))

    async def _beat(self, rota: AsyncRota, work: _Work) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self._heard(rota, work, {})

    async def _heard(self, rota: AsyncRota, work: _Work, progress: dict[str, Any]) -> None:
        """Send a sign of life; the work is cancelled if the run is, or belongs to somebody else."""
        token = work.call.token
        try:
            reply = await self._send(rota, work, "heartbeat", progress)
            is_over = bool(reply["cancel_requested"])
        except ProblemError as error:
            is_over = error.status in _GONE and work.call.token == token
        except RotaError:
            return  # the next one may arrive
        if is_over and work.task:
            work.task.cancel()

    async def _send(self, rota: AsyncRota, work: _Work, verb: str, body: Any) -> Any:
        """Report by the token, which is not sent anywhere but to our own URL of Rota."""
        path = f"/v1/runs/{work.call.run_id}/{verb}"
        # Rota takes an outcome once: the header says to the client that it may be sent again.
        headers = {"X-Rota-Token": work.call.token or "", "Idempotency-Key": work.call.run_id}
        with suppress(_Stored):
            return await _repeated(rota, path, body, headers)
        return None

    def _leave(self, work: _Work) -> None:
        if self._works.get(work.call.run_id) is work:
            del self._works[work.call.run_id]


class _Stored(Exception):
    """An outcome was stored by a request whose reply was lost."""


async def _repeated(rota: AsyncRota, path: str, body: Any, headers: dict[str, str]) -> Any:
    try:
        return await rota.request("POST", path, body=body, headers=headers)
    except ProblemError as error:
        sent = "failed" if "fail" in body else "retry" if "retry" in body else "succeeded"
        if (
            path.endswith("/complete")
            and (error.members.get("attempt") or {}).get("outcome") == sent
        ):
            raise _Stored from None
        raise
