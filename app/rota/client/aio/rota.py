"""The client."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from rota.client import wire
from rota.client.address import address
from rota.client.aio.access import AsyncAudit, AsyncKeys, AsyncSecrets
from rota.client.aio.administration import (
    AsyncCalendars,
    AsyncHandlers,
    AsyncHolds,
    AsyncQueues,
)
from rota.client.aio.overview import (
    AsyncAlerts,
    AsyncEvents,
    AsyncSchedules,
    AsyncStats,
    AsyncSystem,
    AsyncUpcoming,
)
from rota.client.aio.run import AsyncRunHandle
from rota.client.aio.runs import AsyncBulk, AsyncRuns
from rota.client.aio.task import AsyncTaskHandle
from rota.client.aio.tasks import AsyncTasks
from rota.client.aio.transport import AsyncTransport
from rota.client.aio.work.worker import AsyncWorker
from rota.client.retries import Retries, repeat_of
from rota.client.worker_handler import HandlerMap


class AsyncRota:
    """A client of one service. Use it in a `with`, or `close` it; it can be used from several places at a time."""

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 30.0,
        retries: int = 5,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Make a client, without a request; raises ValueError for a wrong URL.

        `url`: ROTA_URL, or else http://127.0.0.1:8000. `key`: an API key; ROTA_KEY, or else none. `timeout`: seconds
        that a call may take, with all its repetitions. `retries`: how often a call that fails for a passing reason is
        repeated. `transport`: of httpx, for tests and special networks.
        """
        self._transport = made = AsyncTransport(
            address(url, key), timeout, Retries(retries), transport
        )
        self.tasks = AsyncTasks(made)
        self.runs = AsyncRuns(made)
        self.bulk = AsyncBulk(made)
        self.queues = AsyncQueues(made)
        self.holds = AsyncHolds(made)
        self.calendars = AsyncCalendars(made)
        self.handlers = AsyncHandlers(made)
        self.keys = AsyncKeys(made)
        self.secrets = AsyncSecrets(made)
        self.audit = AsyncAudit(made)
        self.schedules = AsyncSchedules(made)
        self.stats = AsyncStats(made)
        self.upcoming = AsyncUpcoming(made)
        self.alerts = AsyncAlerts(made)
        self.events = AsyncEvents(made)
        self.system = AsyncSystem(made)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._transport.address.url

    def task(self, name: str) -> AsyncTaskHandle:
        """Return a task by its name, without a request."""
        return AsyncTaskHandle(self._transport, name)

    def run(self, id: str) -> AsyncRunHandle:
        """Return a run by its id, without a request."""
        return AsyncRunHandle(self._transport, id)

    def worker(
        self,
        queue: str,
        handlers: HandlerMap,
        *,
        concurrency: int = 1,
        lease: float = 60.0,
        wait: float = 10.0,
        kv: Sequence[str] = wire.UNSET,
    ) -> AsyncWorker:
        """Make a worker, which executes runs of a queue when its `run` is called.

        `handlers`: by name a function of one argument (an AsyncWorkContext), or a WorkerHandler. It returns the result;
        `Retry` and `Fail` are the other outcomes, and any other exception is a Retry. `concurrency`: runs at a time.
        `lease`: the seconds after which a worker that is silent has lost a run. `wait`: how long one request waits for
        runs, up to 30 s, and how long an idle worker takes to stop. `kv`: the keys that the handlers read; all of them.
        """
        return AsyncWorker(
            self._transport,
            queue,
            handlers,
            concurrency=concurrency,
            lease=lease,
            wait=wait,
            kv=kv,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = wire.UNSET,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Make any request below the URL (`/v1/…`), and return the JSON of its answer, None if it has none.

        It is repeated as far as its method, or an Idempotency-Key, makes that harmless.
        """
        if not path.startswith("/"):
            raise ValueError(f"A path begins with a slash: {path!r}")
        repeat = repeat_of(method, headers or {})
        reply = await self._transport.call(
            method.upper(), path, query=query, body=body, headers=headers, repeat=repeat
        )
        return reply.value

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
