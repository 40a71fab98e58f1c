"""The order in which tasks are applied: a task comes after those of the files that its schedule names."""

from collections.abc import Iterator, Mapping, Sequence

from rota.cli.remote.apply.wanted import WantedTask


def predecessors(task: WantedTask) -> list[str]:
    """Return the names that the schedule of a task comes after, as far as they can be read."""
    schedule = task.body.get("schedule")
    names = schedule.get("tasks") if isinstance(schedule, Mapping) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def in_order(tasks: Sequence[WantedTask]) -> list[WantedTask]:
    """Return the tasks in the order of the files, but each behind its predecessors; of a cycle, in any order."""
    by_name = {each.name: each for each in tasks}
    found: dict[str, WantedTask] = {}
    for task in tasks:
        found |= {each.name: each for each in _with_predecessors(task, by_name, found)}
    return [*found.values()]


def _with_predecessors(
    task: WantedTask, by_name: Mapping[str, WantedTask], found: Mapping[str, WantedTask]
) -> Iterator[WantedTask]:
    """Yield what is not found yet: the predecessors of a task, theirs before them, and the task. Not recursive."""
    entered: set[str] = set()
    stack = [task]
    while stack:
        each = stack.pop()
        if each.name in found:
            continue
        if each.name in entered:
            yield each
            continue
        entered.add(each.name)
        stack.append(each)
        stack += [
            by_name[name]
            for name in reversed(predecessors(each))
            if name in by_name and name not in entered
        ]


def missing_before(task: WantedTask, created: Mapping[str, WantedTask]) -> list[WantedTask]:
    """Return those tasks that do not exist yet, and that a task, or one of them, comes after; in their order."""
    wanted: set[str] = set()
    stack = [task]
    while stack:
        new = [name for name in predecessors(stack.pop()) if name in created and name not in wanted]
        wanted.update(new)
        stack += [created[name] for name in new]
    return [each for name, each in created.items() if name in wanted]
