"""One attempt: what a leased run is executed with, and how its outcome is reported."""

# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.

import logging
import math
from collections.abc import Callable
from typing import Any

from rota.client import outcomes, wire
from rota.client.entries.work import WorkKv
from rota.client.errors import BackPressure, ProblemError, RotaError, Unreachable
from rota.client.models.runs import RunSummary
from rota.client.models.work import Heartbeat, LeasedRun
from rota.client.problems import LeaseLost, NotFound, Superseded
from rota.client.retries import may_pass, pause_after
from rota.client.sync.concurrency import Flag, Work, begin, call, sleep
from rota.client.sync.transport import Transport
from rota.client.timing import deadline

log = logging.getLogger("rota.client.worker")


class WorkContext:
    """What the handler of a worker gets: the run, its input, the key-value table of its task."""

    def __init__(
        self, leased: LeasedRun, progress: Callable[[float | None, str | None], Any]
    ) -> None:
        self.run: RunSummary = leased.run
        self.input: Any = leased.run.input
        #: The table of the task: writes commit with the success of the run.
        self.kv = WorkKv(leased)
        #: For the requests that the handler makes.
        self.traceparent = leased.traceparent
        #: Set when the run was cancelled, or belongs to another worker by now: end soon.
        self.stop = Flag()
        self._progress = progress

    def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Report how far the run is (0 to 1), and what it does."""
        self._progress(fraction, message)


class Attempt:
    """Executes a leased run: a heartbeat keeps its lease, until the outcome is reported."""

    def __init__(
        self,
        transport: Transport,
        leased: LeasedRun,
        function: Callable[[Any], Any],
        lease: float,
    ) -> None:
        """`lease`: the seconds that it may be silent."""
        self._transport = transport
        self._leased = leased
        self._function = function
        self._lease = lease
        self._held_until = deadline(lease)
        self._ended = Flag()
        self._is_lost = False
        self.context = WorkContext(leased, self._report_progress)

    def execute(self) -> None:
        """Execute the run, and report its outcome; raises nothing."""
        outcome: list[outcomes.Outcome] = []
        handling = begin(self._handle, outcome)
        beating = begin(self._beat, handling)
        handling.wait()
        self._ended.set()
        beating.wait()
        if self._is_lost:
            log.warning("run %s goes on without this worker", self._leased.run.id)
            return
        self._complete(outcome[0] if outcome else outcomes.retry("the worker was interrupted"))

    def _handle(self, outcome: list[outcomes.Outcome]) -> None:
        """Call the handler; what it raises is an outcome."""
        try:
            result = call(self._function, self.context)
            success = outcomes.success(result, self.context.kv.operations)
            wire.encode(success)
        except Exception as error:
            log.info("run %s: %s", self._leased.run.id, error, exc_info=_unexpected(error))
            outcome.append(outcomes.failure(error))
        else:
            outcome.append(success)

    def _beat(self, handling: Work) -> None:
        """Send heartbeats until the handler has ended; tell it if it should end."""
        pause = self._lease / 3
        while not self._ended.wait(pause):
            pause = self._lease / 3
            try:
                heartbeat = self._send_heartbeat({})
            except (NotFound, Superseded, LeaseLost):
                self._is_lost = True
            except RotaError as error:
                log.warning("run %s: no heartbeat: %s", self._leased.run.id, error)
                pause = self._lease / 12  # there is time for two more before the lease ends
                continue
            else:
                if not heartbeat.cancel_requested:
                    continue
            self.context.stop.set()
            handling.cancel()
            return

    def _report_progress(self, fraction: float | None, message: str | None) -> None:
        try:
            self._send_heartbeat({"progress": fraction, "message": message})
        except (BackPressure, Unreachable) as error:
            log.warning("run %s: the progress is not reported: %s", self._leased.run.id, error)

    def _send_heartbeat(self, body: dict[str, Any]) -> Heartbeat:
        sent_at = deadline(self._lease)
        reply = self._post("heartbeat", body, within=self._lease / 6)
        heartbeat = Heartbeat.of(reply.fields)
        self._held_until = sent_at
        return heartbeat

    def _complete(self, outcome: outcomes.Outcome) -> None:
        """Report the outcome, for as long as the lease lasts."""
        id = self._leased.run.id
        try:
            self._report(outcome)
        except (NotFound, Superseded, LeaseLost) as error:
            log.warning("run %s: the outcome is not taken: %s", id, error)
        except RotaError as error:
            if isinstance(error, ProblemError) and not may_pass(error):
                log.error("run %s: the outcome is refused: %s", id, error)  # noqa: TRY400  # no fault of this code
                self._report_refusal(error)
            else:
                log.error("run %s: the outcome is lost: %s", id, error)  # noqa: TRY400  # the same

    def _report(self, outcome: outcomes.Outcome) -> None:
        failures = 0
        while True:
            try:
                self._post("complete", outcome)
            except (ProblemError, Unreachable) as error:
                failures += 1
                wait = pause_after(error, failures)
                if not may_pass(error) or wait >= self._held_until.left:
                    raise
                sleep(wait)
            else:
                return

    def _report_refusal(self, error: ProblemError) -> None:
        try:
            self._post("complete", outcomes.refused(error.detail))
        except RotaError as second:
            log.warning("run %s: %s", self._leased.run.id, second)

    def _post(self, verb: str, body: Any, within: float = math.inf) -> Any:
        path = wire.path("runs", self._leased.run.id, verb)
        headers = {"X-Rota-Token": self._leased.token}
        return self._transport.call("POST", path, body=body, headers=headers, within=within)


def _unexpected(error: Exception) -> bool:
    return type(error).__name__ not in {"Retry", "Fail"}
