"""The service that a command asks: calls of `rota.client`, with documents as the service returns them.

Commands print what the service returned (`--json`), with fields that this version does not know, so they take the
documents, not the models.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import typer

from rota.cli.exits import CommandFailed, ExitCode
from rota.cli.output import note
from rota.client import Event, NotFound, ProblemError, Rota, RotaError, Unreachable

_PAGE = 200
#: Further requests after one that did not arrive: a person waits for the answer.
_RETRIES = 2
#: Seconds that a call may take, with these.
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Some:
    """The first items of a list, and whether it has more."""

    items: list[dict[str, Any]]
    has_more: bool

    def note_more(self) -> None:
        """Say that there are more, if there are."""
        if self.has_more:
            note(
                f"There are more than these {len(self.items):,}: --limit shows more, --all shows all."
            )


class Service:
    """Calls of the API."""

    def __init__(self, rota: Rota) -> None:
        self.rota = rota

    def get(self, path: str, **query: Any) -> Any:
        """Return the document at a path."""
        return self.call("GET", path, query=query)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        if_match: str | None = None,
        repeatable: bool = False,
    ) -> Any:
        """Return what the service answers to a request; raises RotaError.

        `repeatable`: the route takes an Idempotency-Key, so it may be sent again if the answer is lost.
        """
        headers = {} if if_match is None else {"If-Match": if_match}
        return self._request(
            method, path, query=query, body=body, headers=headers, repeatable=repeatable
        )

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None,
        body: Any,
        headers: Mapping[str, str],
        repeatable: bool,
    ) -> Any:
        sent = dict(headers) | ({"Idempotency-Key": uuid4().hex} if repeatable else {})
        if body is None:
            return self.rota.request(method, path, query=query, headers=sent)
        return self.rota.request(method, path, query=query, body=body, headers=sent)

    def found(self, path: str) -> Any:
        """Return the document at a path, or None if there is none."""
        try:
            return self.get(path)
        except NotFound:
            return None

    def dry_run(self, task: str, body: Mapping[str, Any]) -> tuple[Any, str | None]:
        """Return what declaring a task would do, and the ETag of the task that it would do it to.

        The ETag is None if the task does not exist, or would not be changed.
        """
        answer = self._declared(task, body, {}, dry_run=True)
        if answer["result"] in {"created", "unchanged"}:
            return answer, None
        etag = etag_of(self.get(at("tasks", task)))
        # Once more, of exactly that version: another client may have changed it in between.
        return self._declared(task, body, {"If-Match": etag}, dry_run=True), etag

    def dry_run_behind(
        self, task: str, body: Mapping[str, Any], before: Sequence[Mapping[str, Any]]
    ) -> tuple[Any, str | None]:
        """Return the same for a task that names others, which are created with it."""
        try:
            answer, etags = self.compare_all([*before, body])
        except ProblemError as error:
            # The others were accepted by themselves: what is wrong is in the last one.
            raise CommandFailed(
                str(error).replace(f"/items/{len(before)}", ""), _code(error)
            ) from None
        found = next((each for each in answer["items"] if each["name"] == task), None)
        if found is None:
            raise CommandFailed(
                f"{task} comes after more tasks than can be compared: apply those first."
            )
        return found, etags.get(task)

    def dry_run_all(self, bodies: Sequence[Mapping[str, Any]]) -> Any:
        """Return what declaring tasks together would do."""
        body = {"items": [*bodies], "on_conflict": "update"}
        return self.call("POST", at("tasks", "batch"), query={"dry_run": True}, body=body)

    def compare_all(self, bodies: Sequence[Mapping[str, Any]]) -> tuple[Any, dict[str, str]]:
        """Return what declaring tasks together would do, and the ETags of those that it would change.

        An ETag is at least as old as what is returned: what another client changes meanwhile is not overwritten.
        """
        changed = [
            each["name"]
            for each in self.dry_run_all(bodies)["items"]
            if each["result"] not in {"created", "unchanged"}
        ]
        etags = {name: etag_of(self.get(at("tasks", name))) for name in changed}
        return self.dry_run_all(bodies), etags

    def declare(self, task: str, body: Mapping[str, Any], etag: str | None) -> Any:
        """Declare a task, if it is the version of `etag`; for None, if it does not exist yet."""
        headers = {"If-None-Match": "*"} if etag is None else {"If-Match": etag}
        return self._declared(task, body, headers, dry_run=None)

    def _declared(
        self,
        task: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        *,
        dry_run: bool | None,
    ) -> Any:
        path, query = at("tasks", task), {"dry_run": dry_run}
        return self._request("PUT", path, query=query, body=body, headers=headers, repeatable=False)

    def entry(self, task: str, key: str) -> Any:
        """Return an entry of a task, also one of bytes, as a document. Raises CommandFailed if there is none."""
        page = self.get(at("tasks", task, "kv"), keys=key)
        if not page["items"]:
            raise CommandFailed(f"{task} has no entry {key!r}.", ExitCode.NOT_FOUND)
        return page["items"][0]

    def log_of(self, run: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of the log of a run until it has ended, over breaks of the connection."""
        with self.rota.run(run).follow() as lines:
            for line in lines:
                yield {**line.model_dump(mode="json", by_alias=True), "at": _wire(line.at)}

    def ended(self, run: str) -> Any:
        """Wait for the end of a run; return it."""
        self.rota.run(run).wait()
        return self.get(at("runs", run))

    def events(
        self, *, task: Sequence[str] | None, type: Sequence[str] | None, after: str | None
    ) -> Iterator[dict[str, Any]]:
        """Yield what happens, over breaks of the connection; raises Unreachable if there is none at the beginning."""
        self.rota.system.health()
        with self.rota.events.listen(task=task, type=type, after=after) as stream:
            yield from map(_document, stream)

    def kv_changes(
        self, task: str, keys: Sequence[str], *, initial: bool
    ) -> Iterator[dict[str, Any]]:
        """Yield changes of the entries of a task until it is deleted, as `events` does."""
        self.rota.system.health()
        with self.rota.task(task).kv.watch(*keys, initial=initial) as stream:
            yield from map(_document, stream)

    def pages(self, path: str, query: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages of a list."""
        parameters = {"limit": _PAGE, **(query or {})}
        while True:
            page = self.call("GET", path, query=parameters)
            yield from page["items"]
            if page.get("next_cursor") is None:
                return
            parameters["cursor"] = page["next_cursor"]

    def some(self, path: str, query: Mapping[str, Any], limit: int | None) -> Some:
        """Return the first `limit` items of a list; all for None."""
        if limit is None:
            return Some([*self.pages(path, query)], has_more=False)
        size = min(limit + 1, _PAGE)  # one more tells whether there are more
        items = [*islice(self.pages(path, {**query, "limit": size}), limit + 1)]
        return Some(items[:limit], has_more=len(items) > limit)


def etag_of(task: Mapping[str, Any]) -> str:
    """Return the ETag of a task that was read."""
    return f'"{task["id"]}.{task["generation"]}"'


def _document(event: Event) -> dict[str, Any]:
    """Return an event as it was sent, with its id."""
    return {
        "id": event.id,
        "type": event.type,
        "timestamp": _wire(event.timestamp),
        "data": dict(event.data),
    }


def _wire(at_time: datetime) -> str:
    return at_time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def at(*parts: str) -> str:
    """Return the path of the API that has these parts. Raises CommandFailed for one that leads elsewhere.

    `..` would name what is above: to delete an entry would delete its task.
    """
    for part in parts:
        if part in {"", ".", ".."}:
            raise CommandFailed(f"{part!r} is no name.")
    return "/v1/" + "/".join(quote(part, safe="~:") for part in parts)


@contextmanager
def connected(context: typer.Context, *, timeout: float = _TIMEOUT) -> Iterator[Service]:
    """Yield the service that was chosen; its errors end the command with a sentence and their exit code.

    `timeout`: the seconds that a call may take, with its repetitions.
    """
    server = context.obj()
    try:
        rota = Rota(server.url, key=server.key or "", timeout=timeout, retries=_RETRIES)
    except ValueError as error:
        raise CommandFailed(f"{error}.") from None
    try:
        with rota:
            yield Service(rota)
    except RotaError as error:
        raise failure(error) or error from None


def failure(error: Exception) -> CommandFailed | None:
    """Return how a command ends with an error; None for a mistake of the program."""
    match error:
        case CommandFailed():
            return error
        case Unreachable():
            advice = (
                "Start it with `rota serve`, or name another: --url, ROTA_URL, `rota context use`."
            )
            return CommandFailed(f"{error}. {advice}", ExitCode.UNREACHABLE)
        case ProblemError(status=HTTPStatus.UNAUTHORIZED):
            advice = (
                "Give its API key: --key, ROTA_KEY, or `rota context add NAME --url … --key -`."
            )
            return CommandFailed(f"{error} {advice}")
        case ProblemError():
            return CommandFailed(str(error), _code(error))
        case RotaError():
            return CommandFailed(str(error))
        case _:
            return None


_CODES = {
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    412: ExitCode.CONFLICT,
    428: ExitCode.CONFLICT,
    502: ExitCode.UNREACHABLE,
    503: ExitCode.UNREACHABLE,
    504: ExitCode.UNREACHABLE,
}


def _code(error: ProblemError) -> ExitCode:
    return _CODES.get(error.status, ExitCode.REFUSED)
