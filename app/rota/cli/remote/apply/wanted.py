"""The tasks that files declare: read, checked, and marked with their owner."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rota.cli.remote.apply import ownership
from rota.cli.remote.documents.reading import DocumentError, read_documents, shown

_LISTS = ("tasks", "items")


@dataclass(frozen=True)
class WantedTask:
    """One task as a file declares it. `body` is what is sent; `place` names the file and the position."""

    name: str
    owner: str
    body: Mapping[str, Any]
    place: str


@dataclass(frozen=True)
class Wanted:
    """The tasks of files, in their order, and all owners that the files are of: also of files without tasks."""

    tasks: Sequence[WantedTask]
    owners: frozenset[str]


def read_wanted(paths: Sequence[str], owner: str | None) -> Wanted:
    """Return what files declare; `owner` is that of the command, None if it gives none.

    A file has an object with `tasks` and perhaps `owner`, a list of tasks, or tasks one after the other. Raises
    DocumentError.
    """
    found: dict[str, WantedTask] = {}
    owners: set[str] = set()
    for path in paths:
        for of_file, task, place in _tasks(path):
            owners.add(owner or of_file or ownership.DEFAULT)
            if task is None:
                continue
            each = _wanted(task, owner, of_file, place)
            owners.add(each.owner)
            if each.name in found:
                earlier = found[each.name].place
                raise DocumentError(
                    f"{each.place}: '{each.name}' is declared twice, first in {earlier}."
                )
            found[each.name] = each
    return Wanted([*found.values()], frozenset(owners))


def _tasks(path: str) -> Iterator[tuple[str | None, Any, str]]:
    """Yield the owner of a document, a task of it, and its place; of a document without tasks, None."""
    documents = read_documents(path)
    if not documents:
        raise DocumentError(f"{shown(path)} has no tasks.")
    count = 0
    for document in documents:
        owner, tasks = _parts(document, shown(path))
        if not tasks:
            yield owner, None, shown(path)
        for task in tasks:
            count += 1
            yield owner, task, f"{shown(path)}, task {count}"


def _parts(document: Any, name: str) -> tuple[str | None, Sequence[Any]]:
    """Return the owner and the tasks of a document; raises DocumentError."""
    if isinstance(document, list):
        return None, document
    if not isinstance(document, dict):
        raise DocumentError(f"{name} has neither tasks nor a list of them.")
    field = next((each for each in _LISTS if each in document), None)
    if field is None:
        return None, [document]
    tasks, owner = document[field], document.get("owner")
    if not isinstance(tasks, list):
        raise DocumentError(f"{name}: '{field}' must be a list.")
    if owner is not None and not isinstance(owner, str):
        raise DocumentError(f"{name}: 'owner' must be text.")
    unknown = sorted(document.keys() - {field, "owner", "next_cursor"})
    if unknown:
        raise DocumentError(f"{name}: beside '{field}' there may be 'owner', not '{unknown[0]}'.")
    return owner, tasks


def _wanted(task: Any, given: str | None, of_file: str | None, place: str) -> WantedTask:
    if not isinstance(task, dict) or not isinstance(task.get("name"), str) or not task["name"]:
        raise DocumentError(f"{place} needs a 'name'.")
    tags = task.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(each, str) for each in tags):
        raise DocumentError(f"{place} ({task['name']}): 'tags' must be a list of texts.")
    tagged = ownership.owner_of(tags)
    owner = given or of_file or tagged or ownership.DEFAULT
    if tagged not in {None, owner}:
        raise DocumentError(
            f"{place} ({task['name']}) has the tag 'owner:{tagged}', but the owner is '{owner}'."
        )
    return WantedTask(
        name=task["name"],
        owner=owner,
        body=task | {"tags": ownership.with_owner(tags, owner)},
        place=place,
    )
