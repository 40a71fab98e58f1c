"""Schedules of Celery beat: the `beat_schedule` of a module, which is read and not imported, or the same as JSON.

A task runs the handler with the name of the Celery task, with the input `{"args": […], "kwargs": {…}}`.
"""

import ast
import json
from collections.abc import Iterator, Mapping
from typing import Any

from rota.cli.exits import CommandFailed
from rota.cli.local.importing.fields import crontab_of_celery, seconds_of
from rota.cli.local.importing.imported import Imported, NotMappable, refusing
from rota.cli.local.importing.literals import Call, call_in, dotted, literal, parse

_SCHEDULES = {"beat_schedule", "CELERY_BEAT_SCHEDULE", "CELERYBEAT_SCHEDULE"}
_ZONES = {"timezone", "CELERY_TIMEZONE"}
_DEFAULT_ZONE = "UTC"  # Celery's own default


def read_module(text: str, name: str, timezone: str | None) -> Imported:
    """Return the tasks of a Python module; raises CommandFailed if it has no schedule that can be read."""
    tree = parse(text, name)
    schedules = [node for node in _values_of(tree, _SCHEDULES) if isinstance(node, ast.Dict)]
    if not schedules:
        raise CommandFailed(f"{name} has no `beat_schedule = {{…}}` that is written out.")
    zone = timezone or _zone_of(tree) or _DEFAULT_ZONE
    found = Imported()
    for schedule in schedules:
        for key, value in zip(schedule.keys, schedule.values, strict=True):
            _add_from_source(found, key, value, zone)
    return found


def _values_of(tree: ast.Module, names: set[str]) -> Iterator[ast.expr]:
    """Yield what is assigned to these names, or to attributes, or given to `conf.update`."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                if any(dotted(each).rpartition(".")[2] in names for each in targets):
                    yield value
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                if dotted(target).rpartition(".")[2] in names:
                    yield value
            case ast.Call(keywords=keywords):
                yield from (
                    each.value for each in keywords if each.arg in names and _is_update(node)
                )
            case _:
                pass


def _is_update(node: ast.Call) -> bool:
    return dotted(node.func).endswith("conf.update")


def _zone_of(tree: ast.Module) -> str | None:
    zones = [node.value for node in _values_of(tree, _ZONES) if isinstance(node, ast.Constant)]
    return next((each for each in zones if isinstance(each, str)), None)


def _add_from_source(found: Imported, key: ast.expr | None, value: ast.expr, zone: str) -> None:
    if key is None:  # `**others`
        found.refuse(value.lineno, ast.unparse(value), "it is computed; write the entries out")
        return
    shown = ast.unparse(key)
    with refusing(found, key.lineno, shown):
        name = str(literal(key))
        entry = dict(_fields(value))
        schedule = _schedule(entry.pop("schedule", None), zone)
        rest = {part: literal(node) for part, node in entry.items()}
        _add(found, key.lineno, name, rest, schedule)


def _fields(value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if not isinstance(value, ast.Dict):
        raise NotMappable("the entry is not written out as a dict")
    for key, node in zip(value.keys, value.values, strict=True):
        if key is None:
            raise NotMappable("the entry takes over others by '**'; write it out")
        yield str(literal(key)), node


def _schedule(node: ast.expr | None, zone: str) -> dict[str, Any]:
    if node is None:
        raise NotMappable("it has no 'schedule'")
    call = call_in(node)
    if call is None:
        return _interval(literal(node))
    match call.name:
        case "crontab":
            # Further positions differ between versions of Celery.
            return crontab_of_celery(call.literals("minute", "hour"), zone)
        case "timedelta":
            return _interval(seconds_of(call.literals("days", "seconds")))
        case "schedule":
            return _of_schedule(call, zone)
        case _:
            raise NotMappable(f"there is no counterpart of {call.name}()")


def _of_schedule(call: Call, zone: str) -> dict[str, Any]:
    every = call.named.get("run_every") or (call.arguments[0] if call.arguments else None)
    return _schedule(every, zone)


def _interval(seconds: Any) -> dict[str, Any]:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise NotMappable(f"{seconds!r} is no number of seconds")
    return {"type": "interval", "every": int(seconds) if seconds == int(seconds) else seconds}


def _add(
    found: Imported, line: int | None, name: str, entry: Mapping[str, Any], schedule: dict[str, Any]
) -> None:
    handler = entry.get("task")
    if not isinstance(handler, str):
        raise NotMappable("it has no 'task'")
    options = entry.get("options") or {}
    task: dict[str, Any] = {
        "handler": handler,
        "input": {"args": list(entry.get("args") or []), "kwargs": dict(entry.get("kwargs") or {})},
        "schedule": schedule,
    }
    if isinstance(options, dict) and isinstance(options.get("queue"), str):
        task["queue"] = options["queue"]
    left = sorted({str(each) for each in options} - {"queue"})
    found.add(name, task)
    if left:
        found.warn(line, name, f"the options {', '.join(left)} are not taken over")


def read_json(text: str, name: str, timezone: str | None) -> Imported:
    """Return the tasks of a schedule as JSON: entries by name, each with `task`, `schedule`, `args` and `kwargs`.

    A `schedule` is a number of seconds, or the fields of a crontab, also under `crontab`. Raises CommandFailed.
    """
    try:
        document = json.loads(text)
        entries = document.get("beat_schedule", document).items()
    except (ValueError, AttributeError, RecursionError) as error:
        raise CommandFailed(f"{name} is no JSON object with entries by name: {error}.") from None
    found = Imported()
    for key, entry in entries:
        with refusing(found, None, key):
            schedule = _from_json(_object(entry).get("schedule"), timezone or _DEFAULT_ZONE)
            _add(found, None, key, entry, schedule)
    return found


def _object(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise NotMappable("the entry is no object")
    return entry


def _from_json(schedule: Any, zone: str) -> dict[str, Any]:
    if isinstance(schedule, dict):
        return crontab_of_celery(schedule.get("crontab", schedule), zone)
    return _interval(schedule)
