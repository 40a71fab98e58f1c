"""Drives `rota.client` for the cases: `python -m tests.conformance.python_driver`."""

import json
import sys
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from pydantic import BaseModel

from rota.client import (
    ProblemError,
    ResultTimeout,
    Rota,
    RotaError,
    RunNotSucceeded,
    Unreachable,
)
from rota.client.models.work import LeasedRun
from rota.client.sync.work.attempt import Attempt, WorkContext

JsonObject = dict[str, Any]


class PythonDriver:
    """The operations, each by the means that the client has for it."""

    def __init__(self) -> None:
        self.rota = Rota()
        self._versions: dict[tuple[str, str], int] = {}
        self._leased: dict[str, LeasedRun] = {}

    def client_open(self, **options: Any) -> None:
        self.rota.close()
        self.rota = Rota(**options)

    def request(self, method: str, path: str, query: Any = None, **body: Any) -> Any:
        return self.rota.request(method, path, query=query, **body)

    def tasks_create(self, definition: JsonObject, on_conflict: Any = "reject") -> Any:
        return self.rota.tasks.create(on_conflict=on_conflict, **definition)

    def tasks_declare(self, name: str, definition: JsonObject) -> Any:
        return self.rota.tasks.declare(name, **definition)

    def tasks_read(self, name: str) -> Any:
        return self.rota.task(name).read()

    def tasks_update(self, name: str, changes: JsonObject) -> Any:
        return self.rota.task(name).update(**changes)

    def tasks_delete(self, name: str) -> None:
        self.rota.task(name).delete()

    def tasks_pause(self, name: str, reason: str) -> Any:
        return self.rota.task(name).pause(reason)

    def tasks_resume(self, name: str) -> Any:
        return self.rota.task(name).resume()

    def tasks_list(self, filters: Any, page: int) -> Any:
        return self.rota.tasks.list(**filters, page_size=page)

    def tasks_run(self, name: str, **given: Any) -> Any:
        return self.rota.task(name).run(**given).started

    def runs_read(self, id: str) -> Any:
        return self.rota.run(id).read()

    def runs_list(self, filters: Any, page: int) -> Any:
        return self.rota.runs.list(**filters, page_size=page)

    def runs_cancel(self, id: str) -> Any:
        return self.rota.run(id).cancel()

    def runs_result(self, id: str, timeout: float) -> Any:
        return self.rota.run(id).result(timeout=timeout)

    def kv_get(self, task: str, key: str) -> Any:
        return self.rota.task(task).kv.get(key)

    def kv_set(self, task: str, key: str, value: Any, **ttl: Any) -> Any:
        return self.rota.task(task).kv.set(key, value, **ttl)

    def kv_delete(self, task: str, key: str) -> Any:
        return self.rota.task(task).kv.delete(key)

    def kv_list(self, task: str, prefix: str) -> Any:
        return self.rota.task(task).kv.entries(prefix)

    def kv_set_if_absent(self, task: str, key: str, value: Any) -> Any:
        return self.rota.task(task).kv.set(key, value, if_version=0)

    def kv_remember(self, task: str, key: str) -> Any:
        entry = self.rota.task(task).kv.entry(key)
        assert entry is not None
        self._versions[task, key] = entry.version
        return entry.value

    def kv_set_if_unchanged(self, task: str, key: str, value: Any) -> Any:
        version = self._versions[task, key]
        return self.rota.task(task).kv.set(key, value, if_version=version)

    def kv_transaction(self, task: str, operations: list[JsonObject]) -> Any:
        return self.rota.task(task).kv.apply(operations)

    def events_read(self, after: str, count: int, **filters: Any) -> list[JsonObject]:
        with self.rota.events.listen(after=after, **filters) as events:
            return [
                {
                    "id": each.id,
                    "type": each.type,
                    "timestamp": str(each.timestamp),
                    "data": each.data,
                }
                for each in islice(events, count)
            ]

    def handlers_declare(self, name: str, declaration: JsonObject) -> Any:
        return self.rota.handlers.declare(name, **declaration)

    def queues_lease(self, queue: str, handlers: list[str], max: int, **options: Any) -> Any:
        leased = self.rota.queues.lease(queue, handlers, most=max, **options)
        self._leased |= {each.token: each for each in leased}
        return leased

    def attempts_heartbeat(self, run: str, token: str, **progress: Any) -> Any:
        return self._by_token(run, "heartbeat", token, progress)

    def attempts_complete(self, run: str, token: str, outcome: JsonObject) -> Any:
        return self._by_token(run, "complete", token, outcome)

    def attempts_deliver(self, run: str, token: str, outcome: JsonObject) -> None:
        """Do the work as `rota.worker` does, which repeats outcomes."""

        def work(context: WorkContext) -> Any:
            for each in outcome["kv"]:
                write = getattr(context.kv, each["op"])
                write(**{name: value for name, value in each.items() if name != "op"})
            return outcome["result"]

        Attempt(self.rota._transport, self._leased[token], work, 30.0).execute()

    def _by_token(self, run: str, verb: str, token: str, body: JsonObject) -> Any:
        headers = {"X-Rota-Token": token}
        return self.rota.request("POST", f"/v1/runs/{run}/{verb}", body=body, headers=headers)


def _reply(driver: PythonDriver, operation: str, arguments: Mapping[str, Any]) -> JsonObject:
    called: Callable[..., Any] | None = getattr(driver, operation.replace(".", "_"), None)
    if called is None:
        return {"error": {"type": "unsupported"}}
    try:
        return {"value": _plain(called(**arguments))}
    except RotaError as error:
        return {"error": _shown(error)}


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return value.model_dump(mode="json", by_alias=True)
        case str() | int() | float() | None | Mapping():
            return value
        case _:
            return [_plain(each) for each in value]


def _shown(error: RotaError) -> JsonObject:
    match error:
        case ProblemError():
            known = {"type": error.type, "status": error.status, "retry_after": error.retry_after}
            faults = [vars_of(fault) for fault in error.errors]
            return known | {
                "detail": error.detail,
                "errors": faults,
                "request_id": error.request_id,
            }
        case RunNotSucceeded():
            return {"type": "run-failed", "run": _plain(error.run)}
        case ResultTimeout():
            return {"type": "timed-out"}
        case Unreachable():
            return {"type": "unreachable"}
    raise error


def vars_of(fault: Any) -> JsonObject:
    return {name: getattr(fault, name) for name in ("pointer", "parameter", "detail")}


def main() -> None:
    driver = PythonDriver()
    for line in sys.stdin:
        given = json.loads(line)
        print(json.dumps(_reply(driver, given["operation"], given["arguments"])), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
