"""Checks of values against schemas: small ones are made within the commit, large ones ahead of it.

Results are cached by a digest of the schema and the value.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Final, TypeVar

from rota.domain.json_schema.compiled import (
    JsonSchema,
    Misfit,
    UnusableSchemaError,
    compiled,
    is_compiled,
)
from rota.domain.json_schema.weight import MOST_STEPS
from rota.domain.primitives.bounded_cache import BoundedCache
from rota.domain.primitives.json import json_text

R = TypeVar("R")

# Checks of up to so many steps (about 1 ms) are made within the commit.
_AT_ONCE = 10_000
# A schema of so many characters is compiled at once, too.
_COMPILED_AT_ONCE = 2_048
# What a verdict needs beside its words.
_VERDICT = 300
_LONGEST_VERDICT = 131_072
_TOO_MANY = (
    f"what is written is too large for the schema: to check it would take more than {MOST_STEPS:,} steps; "
    "write less at a time, or declare a smaller schema"
)


@dataclass(frozen=True, slots=True)
class ValueCheck:
    """A JSON value that is to fit a schema (canonical JSON, and its digest)."""

    schema: str
    digest: bytes
    value: bytes

    def is_ready(self) -> bool:
        """Return whether the schema is compiled, or small enough to be compiled within the commit."""
        return len(self.schema) <= _COMPILED_AT_ONCE or is_compiled(self.schema, masked=True)

    def compiled(self) -> JsonSchema | None:
        """Return the schema; None if it is one that an earlier release took."""
        try:
            return compiled(self.schema, masked=True)
        except UnusableSchemaError:
            return None

    def misfits(self) -> Sequence[Misfit]:
        """Return the faults of the value; none if it fits."""
        return _misfits(self.compiled(), self.value, MOST_STEPS)[0]


#: A check, or what came out where there was nothing to be checked.
Checked = ValueCheck | Sequence[Misfit]
#: Which of several does not fit, and why; None if all do.
First = tuple[int, Sequence[Misfit]] | None


class NotCheckedError(Exception):
    """What a commit needs takes too long within it: `make` it, then try the commit again."""

    def __init__(self, key: bytes, work: Callable[[], Any]) -> None:
        super().__init__("large values are checked against their schemas first")
        self._key = key
        self._work = work

    def make(self) -> None:
        """Make the check, and cache its result."""
        found = self._work()
        # Whatever it is, it is kept: the commit that is tried again asks for it.
        _VERDICTS.put(self._key, (found,), min(_VERDICT + len(repr(found)), _LONGEST_VERDICT))


def found_ahead(key: bytes, work: Callable[[], R]) -> R:
    """Return the result of work that was done ahead of a commit; raises NotCheckedError if it was not done."""
    verdict: tuple[R] | None = _VERDICTS.get(key)
    if verdict is None:
        raise NotCheckedError(key, work)
    return verdict[0]


def first_misfit(checked: Sequence[Checked]) -> First:
    """Return the first of several values that does not fit, for a commit; raises NotCheckedError if it takes long."""
    if not any(checked):
        return None
    if _is_small(checked):
        return _first_misfit(checked)
    return found_ahead(_digest(checked), partial(_first_misfit, checked))


_VERDICTS: Final = BoundedCache[tuple[Any]](longest=_LONGEST_VERDICT)


def _is_small(checked: Sequence[Checked]) -> bool:
    left = _AT_ONCE
    for each in checked:
        if isinstance(each, ValueCheck):
            if len(each.value) > _AT_ONCE or not each.is_ready():
                return False
            schema = each.compiled()
            left -= 0 if schema is None else schema.weights.bound(each.value)
            if left < 0:
                return False
    return True


def _first_misfit(checked: Sequence[Checked]) -> First:
    """Make the checks: all of them together take no more steps than one may."""
    left = MOST_STEPS
    # One that is too large to be kept is compiled once for all.
    schemas: dict[bytes, JsonSchema | None] = {}
    for index, each in enumerate(checked):
        if isinstance(each, ValueCheck):
            if each.digest not in schemas:
                schemas[each.digest] = each.compiled()
            found, taken = _misfits(schemas[each.digest], each.value, left)
            left -= taken
        else:
            found = each
        if found:
            return index, found
    return None


def _misfits(schema: JsonSchema | None, value: bytes, most: int) -> tuple[Sequence[Misfit], int]:
    """Return why a value does not fit, and how many steps that took."""
    if schema is None:
        return _alone("the schema is one that cannot be checked with; declare another one"), 0
    steps, read = schema.weights.bound(value), json_text.loads(value)
    if steps > most:
        steps = schema.weights.steps(read)
    if steps > most:
        return _alone(_TOO_MANY), 0
    return schema.misfits(read, steps), steps


def _digest(checked: Sequence[Checked]) -> bytes:
    whole = sha256()
    for each in checked:
        if isinstance(each, ValueCheck):
            whole.update(each.digest + sha256(each.value).digest())
        else:
            whole.update(repr(each).encode())
    return whole.digest()


def _alone(detail: str) -> Sequence[Misfit]:
    return (Misfit("", detail, detail),)
