"""Checking what is written to key-value tables against the schemas of their tasks, for the commit.

Where a check takes long NotCheckedError is raised, and the writer has it made ahead.
"""

from collections.abc import Mapping, Sequence

from rota.domain.json_schema.checks import Checked, first_misfit
from rota.domain.json_schema.compiled import Misfit
from rota.domain.kv.schemas import KvSchema
from rota.domain.primitives.bounded_cache import bounded_cache
from rota.store.definitions import read_definition
from rota.store.kv.planned_write import Write, is_own


def schema_of(definition: str) -> KvSchema | None:
    """Return the schema of a task by the text of its definition; None, and nearly nothing done, if it has none."""
    return None if read_definition(definition).kv_schema is None else _schema_of(definition)


def first_misfit_of(
    schema: KvSchema, writes: Sequence[Write]
) -> tuple[Write, Sequence[Misfit]] | None:
    """Return the first of several writes that does not fit, and why. Raises NotCheckedError."""
    found = first_misfit([_check(schema, each) for each in writes])
    return None if found is None else (writes[found[0]], found[1])


def _check(schema: KvSchema, each: Write) -> Checked:
    return () if each.after is None or is_own(each.key) else schema.check(each.key, each.after)


@bounded_cache(len)
def _schema_of(definition: str) -> KvSchema:
    declared: Mapping[str, object] = read_definition(definition).kv_schema or {}
    return KvSchema(declared)
