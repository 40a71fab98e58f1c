"""Checking what is written to key-value tables against the schemas of their tasks, for the commit.

Where that takes long NotCheckedError is raised, and the writer has it done ahead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rota.domain.json_schema.checks import Checked, first_misfit
from rota.domain.json_schema.compiled import Misfit
from rota.domain.kv.operations import Append, Increment, Operation
from rota.domain.kv.schemas import DoesNotFit, KvSchema
from rota.domain.primitives.bounded_cache import bounded_cache
from rota.domain.runs.errors import RunError
from rota.store.kv.planned_write import Write, is_own
from rota.store.task_rows import read_definition


def schema_of(definition: str) -> KvSchema | None:
    """Return the schema of a task by the text of its definition; None, and nearly nothing done, if it has none."""
    return None if read_definition(definition).kv_schema is None else _schema_of(definition)


def check_operations(
    schema: KvSchema,
    operations: Sequence[Operation],
    gave: Mapping[str, int],
    writes: Iterable[Write],
) -> None:
    """Raise DoesNotFit, pointing at an operation and into its value, if what it leaves does not fit.

    `gave` says, by key, which of them gave the entry its value: what only expires otherwise is as it was, and is not
    looked at. Raises NotCheckedError.
    """
    given = [each for each in writes if each.key in gave]
    found = misfit_of(schema, given)
    if found is not None:
        each, misfits = found
        raise _refused(each.key, gave[each.key], operations[gave[each.key]], misfits)


def misfit_of_run(definition: str, task: str, writes: Iterable[Write]) -> RunError | None:
    """Return why writes of a run cannot be made, if one does not fit; of the value nothing is told.

    Raises NotCheckedError.
    """
    schema = schema_of(definition)
    found = None if schema is None else misfit_of(schema, list(writes))
    if found is None:
        return None
    each, misfits = found
    return RunError(
        "kv.schema",
        f"The value of {each.key!r} does not fit the kv_schema of task {task!r}: {misfits[0].reason}.",
    )


def misfit_of(schema: KvSchema, writes: Sequence[Write]) -> tuple[Write, Sequence[Misfit]] | None:
    """Return the first of several writes that does not fit, and why; raises NotCheckedError."""
    found = first_misfit([_check(schema, each) for each in writes])
    return None if found is None else (writes[found[0]], found[1])


def _check(schema: KvSchema, each: Write) -> Checked:
    return () if each.after is None or is_own(each.key) else schema.check(each.key, each.after)


def _refused(key: str, index: int, operation: Operation, misfits: Sequence[Misfit]) -> DoesNotFit:
    pointer = f"/operations/{index}"
    if not isinstance(operation, Increment | Append):
        return DoesNotFit(key, f"{pointer}/value", misfits)
    # The value is made by the operation: where the fault is in it is no place in the request.
    return DoesNotFit(key, pointer, [_told_in_words(misfit) for misfit in misfits])


def _told_in_words(misfit: Misfit) -> Misfit:
    at = f"at {misfit.pointer} " if misfit.pointer else ""
    return replace(misfit, pointer="", detail=f"{at}{misfit.detail}")


@bounded_cache(len)
def _schema_of(definition: str) -> KvSchema:
    declared: Mapping[str, object] = read_definition(definition).kv_schema or {}
    return KvSchema(declared)
