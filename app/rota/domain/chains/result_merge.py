"""Result merge: the results of the runs of predecessors become part of the input of a run. Pure.

The base is the input of the task. If it is not an object, it becomes the field `input` of one, beside the results.
Under `runs` are the runs themselves, unless the task's own input has a field of that name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from rota.domain.json_schema.compiled import JsonSchema
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import RunError
from rota.domain.schedules.definitions import After, Merge, Planned
from rota.domain.tasks.input_schema import input_faults
from rota.errors import Fault, NotJson

RESULTS = "results"
RUNS = "runs"
#: What is shown of a predecessor's run.
RUN_FIELDS = ("id", "status", "reason", "error", "attempt", "scheduled_for", "finished_at")
#: As much as the body of a request: 1 MiB.
MOST_INPUT_BYTES = 1_048_576


def merged(
    own: Any,
    results: Sequence[tuple[str, Any]],
    merge: Merge,
    runs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the input of a run: `own` merged with the results, as (name of the task, result), in their order.

    `runs`: what is shown of the runs, by the name of the task; None for nothing.

    `by_task` puts them under `results` by the name of the task, `collect` as a list. `overwrite` replaces fields of
    `own` by those of the results that are objects; later results win.
    """
    base = dict(own) if isinstance(own, dict) else {"input": own}
    if runs is not None:
        base.setdefault(RUNS, dict(runs))
    match merge:
        case "by_task":
            return base | {RESULTS: dict(results)}
        case "collect":
            return base | {RESULTS: [result for _, result in results]}
        case "overwrite":
            for _, result in results:
                base |= result if isinstance(result, dict) else {}
            return base
        case _:
            assert_never(merge)


def without_runs(value: Any) -> dict[str, Any] | None:
    """Return a merged input without the runs of predecessors; None if it has none.

    A handler that does not take them gets it like this, as before there were any.
    """
    runs = value.get(RUNS) if isinstance(value, dict) else None
    if not isinstance(runs, dict) or not runs or not all(map(_is_run, runs.values())):
        return None
    return {name: field for name, field in value.items() if name != RUNS}


def _is_run(value: Any) -> bool:
    # Null: retention has removed it.
    return value is None or (isinstance(value, dict) and value.keys() == set(RUN_FIELDS))


def foreseen_faults(validator: JsonSchema, schedule: Planned, own: Any) -> list[Fault]:
    """Return what a handler does not take of a task's own input, as far as that is known without the results.

    It need not take `runs`, and may require it.
    """
    if not isinstance(schedule, After):
        return input_faults(validator, own)
    if schedule.merge == "overwrite":  # any field may come from a result
        return []
    value = merged(own, [], schedule.merge)
    faults = _faults_beside(validator, value, RESULTS)
    if not faults or RUNS in value:
        return faults
    return faults if _faults_beside(validator, value | {RUNS: {}}, RESULTS, RUNS) else []


def _faults_beside(validator: JsonSchema, value: dict[str, Any], *fields: str) -> list[Fault]:
    """Return the faults of an input that are not within these fields of it, which only a run has."""
    within = tuple(f"/input/{name}/" for name in fields)
    faults = input_faults(validator, value)
    return [fault for fault in faults if not f"{fault.pointer}/".startswith(within)]


def write_merged(value: dict[str, Any]) -> str | RunError:
    """Return the JSON text of a merged input, or why it cannot be one: too large, or nested too deep."""
    try:
        text = json_text.dumps(value)
    except NotJson as error:
        return RunError("input_too_deep", f"the merged input cannot be kept: {error.detail}")
    return too_large(size) if (size := len(text.encode())) > MOST_INPUT_BYTES else text


def too_large(size: int) -> RunError:
    """Return the error of a merged input of so many bytes."""
    return RunError(
        "input_too_large",
        f"the merged input would have {size:,} bytes or more; at most {MOST_INPUT_BYTES:,} are taken. "
        "Keep large results elsewhere and return where they are",
    )
