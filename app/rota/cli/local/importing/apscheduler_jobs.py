"""Jobs of APScheduler 3: calls of `add_job` and `@scheduled_job` in a module, which is not imported, or a list as JSON.

Its job stores keep pickles, which can execute anything when they are read: they are refused.
"""

import ast
import json
from collections.abc import Iterator, Mapping
from typing import Any

from rota.cli.exits import CommandFailed
from rota.cli.local.importing.fields import crontab_of_apscheduler, seconds_of
from rota.cli.local.importing.imported import Imported, NotMappable, refusing
from rota.cli.local.importing.literals import Call, call_in, dotted, literal, parse

_CRON = {"year", "month", "day", "week", "day_of_week", "hour", "minute", "second"}
_LENGTHS = {"weeks", "days", "hours", "minutes", "seconds"}
_TRIGGERS = {"CronTrigger": "cron", "IntervalTrigger": "interval", "DateTrigger": "date"}
_OF_STORES = (b"SQLite format 3\0", b"\x80")
_HOW_TO_LIST = (
    "A job store of APScheduler has pickles, which can execute anything when they are read. List the jobs in your own "
    "program instead, as JSON, or give the source: "
    '[{"id": "report", "func": "jobs:report", "trigger": "cron", "hour": 9, "timezone": "Europe/Berlin"}]'
)


def refuse_store(content: bytes) -> None:
    """Raise CommandFailed for a job store."""
    if content.startswith(_OF_STORES):
        raise CommandFailed(_HOW_TO_LIST)


def read_module(text: str, name: str, timezone: str) -> Imported:
    """Return the jobs that a Python module adds; raises CommandFailed if it adds none."""
    found = Imported()
    jobs = list(_jobs_in(parse(text, name)))
    if not jobs:
        raise CommandFailed(f"{name} has no call of add_job, and no @scheduled_job.")
    for line, function, call in jobs:
        with refusing(found, line, function or "add_job"):
            _add(found, line, _given(call, function), timezone)
    return found


def _jobs_in(tree: ast.Module) -> Iterator[tuple[int, str, Call]]:
    """Yield where a job is added, its function and the call, without the function among its arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                call = call_in(decorator)
                if call is not None and call.name == "scheduled_job":
                    yield decorator.lineno, node.name, call
        elif isinstance(node, ast.Call):
            call = call_in(node)
            if call is not None and call.name == "add_job":
                function = call.arguments[0] if call.arguments else call.named.get("func")
                rest = {key: value for key, value in call.named.items() if key != "func"}
                yield node.lineno, _function(function), Call(call.name, call.arguments[1:], rest)


def _function(node: ast.expr | None) -> str:
    match node:
        case None:
            return ""
        case ast.Constant(value=str() as reference):
            return reference
        case _:
            return dotted(node)


def _given(call: Call, function: str) -> dict[str, Any]:
    """Return a job as the JSON form has it; raises NotMappable."""
    if not function:
        raise NotMappable("its function is computed by the program")
    named = dict(call.named)
    trigger = call.arguments[0] if call.arguments else named.pop("trigger", None)
    named.pop("trigger", None)
    fields: dict[str, Any] = {"func": function}
    as_call = None if trigger is None else call_in(trigger)
    if as_call is not None:
        fields |= _of_trigger(as_call)
    elif trigger is not None:
        fields["trigger"] = literal(trigger)
    return fields | {name: literal(node) for name, node in named.items()}


def _of_trigger(call: Call) -> dict[str, Any]:
    if call.name == "from_crontab":
        zone = call.named.get("timezone")
        expression = literal(call.arguments[0]) if call.arguments else None
        return {"trigger": "crontab", "expression": expression} | (
            {} if zone is None else {"timezone": literal(zone)}
        )
    if call.name not in _TRIGGERS:
        raise NotMappable(f"there is no counterpart of {call.name}()")
    return {"trigger": _TRIGGERS[call.name]} | call.literals()


def read_json(text: str, name: str, timezone: str) -> Imported:
    """Return the jobs of a JSON list, each with `func`, `trigger` and its fields; raises CommandFailed."""
    try:
        jobs = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandFailed(f"{name} is no JSON: {error}.") from None
    if not isinstance(jobs, list):
        raise CommandFailed(f"{name} is no list of jobs. {_HOW_TO_LIST}")
    found = Imported()
    for number, job in enumerate(jobs, 1):
        with refusing(found, None, f"job {number}"):
            _add(found, None, _flat(job), timezone)
    return found


def _flat(job: Any) -> dict[str, Any]:
    """Return a job with the fields of its trigger beside its own; raises NotMappable."""
    if not isinstance(job, dict):
        raise NotMappable("a job is an object")
    trigger = job.get("trigger")
    if not isinstance(trigger, dict):
        return job
    inner = {name: value for name, value in trigger.items() if name != "type"}
    return {**job, **inner, "trigger": trigger.get("type")}


def _add(found: Imported, line: int | None, job: Mapping[str, Any], timezone: str) -> None:
    function = job.get("func")
    if not isinstance(function, str) or not function:
        raise NotMappable("it has no 'func'")
    handler = function.replace(":", ".")
    zone = str(job.get("timezone") or timezone)
    task = {
        "handler": handler,
        "input": {"args": list(job.get("args") or []), "kwargs": dict(job.get("kwargs") or {})},
        "schedule": _schedule(job, zone),
    } | _policies(job)
    name = str(job.get("id") or job.get("name") or handler.rpartition(".")[2])
    found.add(name, task)
    left = sorted(set(job) - _TAKEN - _CRON - _LENGTHS)
    if left:
        found.warn(line, name, f"{', '.join(left)} is not taken over")


def _schedule(job: Mapping[str, Any], zone: str) -> dict[str, Any]:
    match job.get("trigger"):
        case "cron":
            given = {name: job[name] for name in _CRON if job.get(name) is not None}
            return crontab_of_apscheduler(given, zone) | _bounds(job)
        case "crontab":
            return {
                "type": "cron",
                "expression": _as_crontab(job.get("expression")),
                "timezone": zone,
            }
        case "interval":
            lengths = {name: job[name] for name in _LENGTHS if job.get(name)}
            return {"type": "interval", "every": seconds_of(lengths)} | _bounds(job)
        case "date":
            return _once(job.get("run_date"), zone)
        case None:
            raise NotMappable("it has no trigger: it runs once, when the program starts")
        case other:
            raise NotMappable(f"there is no counterpart of the trigger {other!r}")


def _as_crontab(expression: Any) -> str:
    """Return an expression of `from_crontab`, where 0 is Monday and both day fields must fit."""
    fields = str(expression).split()
    if len(fields) != 5:
        raise NotMappable(f"{expression!r} has no 5 fields")
    names = ("minute", "hour", "day", "month", "day_of_week")
    given = dict(zip(names, fields, strict=True))
    return str(crontab_of_apscheduler(given, "UTC")["expression"])


def _once(at: Any, zone: str) -> dict[str, Any]:
    if not isinstance(at, str):
        raise NotMappable("its 'run_date' is no text such as '2027-12-24T17:30:00'")
    text = at.replace(" ", "T", 1)
    is_instant = text.endswith("Z") or "+" in text[10:] or "-" in text[10:]
    return {"type": "once", "at": text} | ({} if is_instant else {"timezone": zone})


def _bounds(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return beginning, end and jitter; raises NotMappable for times without an offset."""
    found: dict[str, Any] = {}
    for name, ours in (("start_date", "start_at"), ("end_date", "end_at")):
        if job.get(name) is not None:
            found[ours] = str(job[name]).replace(" ", "T", 1)
    if job.get("jitter"):
        found["jitter"] = job["jitter"]
    return found


def _policies(job: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if job.get("max_instances", 1) != 1:
        found["overlap_policy"] = "allow"
    if job.get("coalesce") is False:
        found["misfire_policy"] = "run_all"
    grace = job.get("misfire_grace_time")
    if isinstance(grace, int | float) and grace >= 1:
        found["misfire_grace"] = grace
    return found


_TAKEN = {
    *(
        "func",
        "id",
        "name",
        "args",
        "kwargs",
        "trigger",
        "type",
        "expression",
        "timezone",
        "run_date",
        "jitter",
    ),
    *(
        "start_date",
        "end_date",
        "max_instances",
        "coalesce",
        "misfire_grace_time",
        "replace_existing",
    ),
}
