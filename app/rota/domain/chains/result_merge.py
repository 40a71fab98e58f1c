"""Merging: the results of the runs that a run comes after become part of its input. Pure.

A task's own input is the ground. One that is not an object stands under `input`, so that the results have a place
beside it.
"""

from collections.abc import Sequence
from typing import Any, assert_never

from rota.domain.json_schema.compiled import JsonSchema
from rota.domain.primitives import json_text
from rota.domain.runs.errors import RunError
from rota.domain.schedules.definitions import After, Merge, Planned
from rota.domain.tasks.input_schema import input_faults
from rota.errors import Fault, NotJson

RESULTS = "results"
#: As much as the body of a request: 1 MiB.
MOST_INPUT_BYTES = 1_048_576


def merged(own: Any, results: Sequence[tuple[str, Any]], merge: Merge) -> dict[str, Any]:
    """Return the input of a run: `own`, and the results of the named tasks' runs, in the order of the list.

    `by_task` puts them under `results`, each by its task's name, `collect` as a list. `overwrite` lays the members of
    those that are objects over `own`, a later one over an earlier one.
    """
    ground = dict(own) if isinstance(own, dict) else {"input": own}
    match merge:
        case "by_task":
            return ground | {RESULTS: dict(results)}
        case "collect":
            return ground | {RESULTS: [result for _, result in results]}
        case "overwrite":
            for _, result in results:
                ground |= result if isinstance(result, dict) else {}
            return ground
        case _:
            assert_never(merge)


def foreseen_faults(validator: JsonSchema, schedule: Planned, own: Any) -> list[Fault]:
    """Return what a handler does not take of a task's own input, as far as it can be told without the results."""
    if not isinstance(schedule, After):
        return input_faults(validator, own)
    if schedule.merge == "overwrite":  # any member may come from a result
        return []
    faults = input_faults(validator, merged(own, [], schedule.merge))
    return [fault for fault in faults if not f"{fault.pointer}/".startswith(f"/input/{RESULTS}/")]


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
