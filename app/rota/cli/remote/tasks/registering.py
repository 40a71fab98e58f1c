"""Registering many tasks: hundreds in a request, and those that are refused found by halving."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rota.cli.exits import CommandFailed, ExitCode
from rota.cli.output import note
from rota.cli.remote.documents.reading import DocumentError, lines, shown
from rota.cli.remote.service import Service, at, failure

#: Tasks in a request, which is one transaction, and characters.
_MOST = 500
_MOST_CHARACTERS = 4_000_000
#: Warnings that are printed: tasks of one file often have the same.
_MOST_WARNINGS = 20
_PLACE = re.compile(r"/items/0(?=/|:|\b)")


@dataclass(frozen=True)
class Line:
    """A task of a file. `place` names the line; `size` is its length."""

    task: Mapping[str, Any]
    place: str
    size: int


def read_lines(path: str) -> Iterator[Line]:
    """Yield the tasks of a file of JSON lines: those that come after others last, each behind those it names.

    Raises CommandFailed for what is no object.
    """
    later: list[Line] = []
    try:
        for number, text in enumerate(lines(path), start=1):
            line = _parsed(text, f"{shown(path)}, line {number}")
            if _named(line):
                later.append(line)
            else:
                yield line
    except DocumentError as error:
        raise CommandFailed(str(error)) from None
    yield from _in_order(later)


def _parsed(text: str, place: str) -> Line:
    try:
        task = json.loads(text)
    except ValueError:
        task = None
    if not isinstance(task, dict):
        raise CommandFailed(
            f"{place} is no JSON object; an export has one a line. For YAML use `rota apply -f`."
        )
    return Line(task, place, len(text))


def _named(line: Line) -> Sequence[str]:
    """Return the names of the tasks that a task comes after."""
    schedule = line.task.get("schedule")
    names = schedule.get("tasks") if isinstance(schedule, dict) else None
    return names if isinstance(names, list) else ()


def _in_order(tasks: Sequence[Line]) -> list[Line]:
    """Return the tasks so that each is behind those that it names; those of a cycle, which is refused, at the end."""
    ordered: list[Line] = []
    left = {line.task.get("name"): line for line in tasks}
    while left:
        ready = [line for line in left.values() if not any(name in left for name in _named(line))]
        for line in ready or [*left.values()]:
            ordered.append(line)
            del left[line.task.get("name")]
    return ordered


def groups(tasks: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield groups of tasks for a request each."""
    found: list[Line] = []
    size = 0
    for line in tasks:
        if found and (len(found) == _MOST or size + line.size > _MOST_CHARACTERS):
            yield found
            found, size = [], 0
        found.append(line)
        size += line.size
    if found:
        yield found


class Registering:
    """Registers groups of tasks, and counts the results."""

    def __init__(self, service: Service, on_conflict: str) -> None:
        self._service = service
        self._on_conflict = on_conflict
        names = ("created", "updated", "unchanged", "kept", "replaced", "failed")
        self.counts = dict.fromkeys(names, 0)
        self._warned = 0

    def register(self, group: Sequence[Line]) -> None:
        """Register a group. If that is refused, each half of it, so that only what is wrong is left out.

        Raises CommandFailed if the service does not answer.
        """
        try:
            answer = self._send(group)
        except Exception as error:
            failed = failure(error)
            if failed is None or failed.code is ExitCode.UNREACHABLE:
                raise
            self._refused(group, failed)
            return
        for name in self.counts.keys() & answer.keys():
            self.counts[name] += answer[name]
        for item in answer.get("items", ()):
            self._warn(item)

    def _warn(self, item: Mapping[str, Any]) -> None:
        """Print the warnings about a task, as long as there are not many."""
        for warning in item["warnings"]:
            self._warned += 1
            if self._warned <= _MOST_WARNINGS:
                note(f"Warning: {item['name']} ({warning['code']}): {warning['message']}")

    def warnings_left_out(self) -> int:
        """Return how many warnings were not printed."""
        return max(self._warned - _MOST_WARNINGS, 0)

    def _refused(self, group: Sequence[Line], failed: CommandFailed) -> None:
        if len(group) > 1:
            middle = len(group) // 2
            self.register(group[:middle])
            self.register(group[middle:])
            return
        line = group[0]
        self.counts["failed"] += 1
        note(f"rota: {line.place} ({line.task.get('name')}): {_PLACE.sub('', failed.sentence)}")

    def _send(self, group: Sequence[Line]) -> Any:
        body = {"items": [line.task for line in group], "on_conflict": self._on_conflict}
        return self._service.call("POST", at("tasks", "batch"), body=body, repeatable=True)
