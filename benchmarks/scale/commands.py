"""Commands for very many: a hold on everything, bulk verbs on tasks, and a bulk rerun beside a task of every second."""

import time
from typing import Any

from benchmarks.client import UnexpectedAnswerError, ask, wait_until
from benchmarks.figures import Line, median
from benchmarks.scale.data import TEAMS
from benchmarks.scale.measured import Scale, measured

MOST_FOR_A_HOLD = 50.0
MOST_FOR_A_VERB = 2_000.0
#: How much later fires may be while runs are repeated, in the median.
MOST_LATER = 100.0
_TASKS = 5_000
_BEATS = 15
_LONGEST = 180.0
_BEAT = "every-second"


@measured("hold")
def hold(scale: Scale) -> list[Line]:
    """Return how long it takes to set a hold on every task."""
    taken = []
    for _ in range(scale.size.rounds):
        taken.append(_timed(scale, "PUT", "/v1/holds/all", _HOLD, expect=201))
        ask(scale.rota.port, "DELETE", "/v1/holds/all", expect=204)
    return [scale.line("A hold on every task", median(taken), MOST_FOR_A_HOLD)]


_HOLD = {"selector": {"all": True}, "fire_times": "catch_up", "reason": "maintenance"}


@measured("verbs")
def verbs(scale: Scale) -> list[Line]:
    """Return how long it takes to pause, resume and cancel 5,000 tasks at once."""
    per_team = max(scale.size.tasks // TEAMS, 1)
    teams = [f"team-{number:02d}" for number in range(min(_TASKS // per_team, TEAMS))]
    body, port = {"selector": {"tags": teams}}, scale.rota.port
    lines = []
    for verb in ("pause", "resume", "cancel"):
        matched = ask(port, "POST", f"/v1/tasks/{verb}", body | {"dry_run": True})["matched"]
        if not matched:
            raise UnexpectedAnswerError(f"no task is of {teams[0]}")
        taken = _timed(scale, "POST", f"/v1/tasks/{verb}", body)
        lines.append(scale.line(f"{verb} of {matched:,} tasks", taken, MOST_FOR_A_VERB))
    return lines


@measured("rerun")
def rerun(scale: Scale) -> list[Line]:
    """Return how much later a task of every second starts while 10,000 runs are repeated."""
    port = scale.rota.port
    task = {"handler": "noop", "schedule": {"type": "interval", "every": 1}, "queue": "beats"}
    ask(port, "PUT", f"/v1/tasks/{_BEAT}", task, expect=201)
    wait_until(lambda: len(_lateness(scale)) >= _BEATS, "runs of every second", _LONGEST)
    before = _lateness(scale)
    began = time.perf_counter()
    body = {"selector": {"status": ["failed"], "tags": ["half"]}}
    begun = ask(port, "POST", "/v1/runs/rerun?wait=0", body, expect=202)
    wait_until(lambda: _is_finished(scale, begun["id"]), "the end of the reruns", _LONGEST)
    taken = time.perf_counter() - began
    during = _lateness(scale)[len(before) :]
    ask(port, "DELETE", f"/v1/tasks/{_BEAT}", expect=204)
    later = (median(during) - median(before)) * 1_000 if during else 0.0
    what = f"Fires beside the reruns of {begun['runs']:,} runs ({taken:.0f} s): later by"
    return [scale.line(what, later, MOST_LATER)]


def _is_finished(scale: Scale, id: str) -> bool:
    return bool(scale.read(f"/v1/bulk/{id}")["status"] == "finished")


def _lateness(scale: Scale) -> list[float]:
    """Return by how many seconds the runs of the task of every second were late, the first one first."""
    items: list[Any] = scale.read(f"/v1/tasks/{_BEAT}/runs?limit=200")["items"]
    return [each["lateness"] for each in reversed(items) if each["lateness"] is not None]


def _timed(scale: Scale, method: str, path: str, body: Any, expect: int = 200) -> float:
    began = time.perf_counter()
    ask(scale.rota.port, method, path, body, expect)
    return (time.perf_counter() - began) * 1_000
