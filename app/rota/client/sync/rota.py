"""The client."""

# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from rota.client import wire
from rota.client.address import address
from rota.client.retries import Retries, repeat_of
from rota.client.sync.access import Audit, Keys, Secrets
from rota.client.sync.administration import (
    Calendars,
    Handlers,
    Holds,
    Queues,
)
from rota.client.sync.overview import (
    Alerts,
    Events,
    Schedules,
    Stats,
    System,
    Upcoming,
)
from rota.client.sync.run import RunHandle
from rota.client.sync.runs import Bulk, Runs
from rota.client.sync.task import TaskHandle
from rota.client.sync.tasks import Tasks
from rota.client.sync.transport import Transport
from rota.client.sync.work.worker import Worker
from rota.client.worker_handler import HandlerMap


class Rota:
    """A client of one service. Use it in a `with`, or `close` it; it can be used from several places at a time."""

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 30.0,
        retries: int = 5,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Make a client, without a request; raises ValueError for a wrong URL.

        `url`: ROTA_URL, or else http://127.0.0.1:8000. `key`: an API key; ROTA_KEY, or else none. `timeout`: seconds
        that a call may take, with all its repetitions. `retries`: how often a call that fails for a passing reason is
        repeated. `transport`: of httpx, for tests and special networks.
        """
        self._transport = made = Transport(address(url, key), timeout, Retries(retries), transport)
        self.tasks = Tasks(made)
        self.runs = Runs(made)
        self.bulk = Bulk(made)
        self.queues = Queues(made)
        self.holds = Holds(made)
        self.calendars = Calendars(made)
        self.handlers = Handlers(made)
        self.keys = Keys(made)
        self.secrets = Secrets(made)
        self.audit = Audit(made)
        self.schedules = Schedules(made)
        self.stats = Stats(made)
        self.upcoming = Upcoming(made)
        self.alerts = Alerts(made)
        self.events = Events(made)
        self.system = System(made)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._transport.address.url

    def task(self, name: str) -> TaskHandle:
        """Return a task by its name, without a request."""
        return TaskHandle(self._transport, name)

    def run(self, id: str) -> RunHandle:
        """Return a run by its id, without a request."""
        return RunHandle(self._transport, id)

    def worker(
        self,
        queue: str,
        handlers: HandlerMap,
        *,
        concurrency: int = 1,
        lease: float = 60.0,
        wait: float = 10.0,
        kv: Sequence[str] = wire.UNSET,
    ) -> Worker:
        """Make a worker, which executes runs of a queue when its `run` is called.

        `handlers`: by name a function of one argument (an WorkContext), or a WorkerHandler. It returns the result;
        `Retry` and `Fail` are the other outcomes, and any other exception is a Retry. `concurrency`: runs at a time.
        `lease`: the seconds after which a worker that is silent has lost a run. `wait`: how long one request waits for
        runs, up to 30 s, and how long an idle worker takes to stop. `kv`: the keys that the handlers read; all of them.
        """
        return Worker(
            self._transport,
            queue,
            handlers,
            concurrency=concurrency,
            lease=lease,
            wait=wait,
            kv=kv,
        )

    def request(
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
        reply = self._transport.call(
            method.upper(), path, query=query, body=body, headers=headers, repeat=repeat
        )
        return reply.value

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
