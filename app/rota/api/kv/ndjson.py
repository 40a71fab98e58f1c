"""Entries of a key-value table as lines of JSON."""

from base64 import b64decode, b64encode
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rota.domain.kv.entries import KvEntry, KvLimits, check_key, encode_as
from rota.domain.kv.present import JSON_TYPE, Present
from rota.domain.primitives.json import json_text
from rota.domain.primitives.json.stored_json import put_stored, render
from rota.domain.primitives.texts.names import VERSION_KEY
from rota.domain.primitives.times.instants import Instant, format_instant
from rota.domain.validation.faults import faults_in
from rota.errors import AppError, Conflict, Fault, Invalid, sentence


@dataclass(frozen=True, slots=True)
class Lines:
    """Parsed lines: the entries by key, how many more have expired, and the line number of each key."""

    entries: Mapping[str, Present]
    expired: int
    numbers: Mapping[str, int]


class LineIn(BaseModel):
    """A line. Fields that only the service sets are accepted and ignored."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(strict=True)
    value: Any
    encoding: Literal["base64"] | None = None
    content_type: str | None = Field(None, strict=True)
    expires_at: Instant | None = None
    version: Any = None
    updated_at: Any = None
    updated_by: Any = None
    attempt: Any = None

    def present(self, limits: KvLimits) -> Present:
        """Return the entry; raises AppError with a pointer to the field that is wrong."""
        self._check_key(limits)
        kind = self._kind()
        with _pointing("/value"):
            given = self.value if kind == JSON_TYPE else _decoded(self.value)
            return Present(
                encode_as(kind, self.key, given, limits.value_bytes), kind, self.expires_at
            )

    def _check_key(self, limits: KvLimits) -> None:
        if self.key != VERSION_KEY:
            with _pointing("/key"):
                check_key(self.key, limits)
        # `true` is an int to Python.
        elif type(self.value) is not int or self.value < 1 or self.expires_at is not None:
            raise _at("/value", f"{VERSION_KEY} is a whole number above 0 that does not expire")

    def _kind(self) -> str:
        """Return the content type. A value of JSON is given as it is, any other value as base64."""
        kind = JSON_TYPE if self.content_type is None else self.content_type
        if kind == JSON_TYPE and self.encoding is not None:
            raise _at("/content_type", "give the content type of the bytes; JSON is given as it is")
        if kind != JSON_TYPE and self.encoding is None:
            raise _at("/encoding", "a value that is not JSON is given as base64")
        return kind


def write_line(entry: KvEntry) -> bytes:
    """Return an entry as one line."""
    shown: dict[str, Any] = {"key": entry.key}
    if entry.sealed:
        shown |= {"value": None, "unreadable": ["value"]}
    elif entry.content_type == JSON_TYPE:
        put_stored(shown, "value", entry.value)
    else:
        encoded = b64encode(entry.value).decode()
        shown |= {"value": encoded, "encoding": "base64", "content_type": entry.content_type}
    expires_at = None if entry.expires_at is None else format_instant(entry.expires_at)
    shown |= {"expires_at": expires_at, "version": entry.version}
    return render(shown).encode() + b"\n"


def read_lines(body: bytes, limits: KvLimits, now: datetime) -> Lines:
    """Read entries, one per line; empty lines are ignored.

    Raises the error of the first wrong line, with the line number (from 1) at the front of the pointer, and Conflict
    as soon as there are more entries than a task may have.
    """
    parser = _Parser(limits, now)
    for number, text in enumerate(BytesIO(body), 1):
        line = text.removeprefix(
            BOM_UTF8
        )  # in any line: files that begin with one can be concatenated
        if line.strip():
            parser.add(number, line)
    return Lines(parser.entries, parser.expired, parser.numbers)


@dataclass(slots=True)
class _Parser:
    limits: KvLimits
    now: datetime
    entries: dict[str, Present] = field(default_factory=dict)
    expired: int = 0
    numbers: dict[str, int] = field(default_factory=dict)

    def add(self, number: int, line: bytes) -> None:
        try:
            parsed = _parse(line)
            self._check_new(number, parsed.key)
            self._add_entry(parsed.key, parsed.present(self.limits))
        except AppError as error:
            raise _in_line(number, error) from None

    def _check_new(self, number: int, key: str) -> None:
        first = self.numbers.setdefault(key, number)
        if first != number:
            raise _at("/key", f"{key!r} is given twice: line {first} has it already")

    def _add_entry(self, key: str, present: Present) -> None:
        if present.expires_at is not None and present.expires_at <= self.now:
            self.expired += 1
            return
        self.entries[key] = present
        if len(self.entries) > self.limits.entries:
            raise Conflict(
                f"There are more entries than the {self.limits.entries} that a task may have.",
                slug="kv-full",
            )


def _parse(line: bytes) -> LineIn:
    given = json_text.loads(line, json_text.MOST_VALUES)
    try:
        return LineIn.model_validate(given)
    except ValidationError as error:
        schema = LineIn.__pydantic_core_schema__
        faults = faults_in(error, given, schema, LineIn.model_validate)
        first = faults[0]
        place = f"{first.pointer}: " if first.pointer else ""
        raise Invalid(sentence(f"{place}{first.detail}"), *faults, omitted=faults.omitted) from None


def _decoded(value: Any) -> bytes:
    try:
        return b64decode(value, validate=True) if isinstance(value, str) else _refuse()
    except ValueError:
        raise _at("/value", "this is not base64") from None


def _refuse() -> bytes:
    raise ValueError


@contextmanager
def _pointing(pointer: str) -> Iterator[None]:
    """Add the pointer to errors that have none."""
    try:
        yield
    except AppError as error:
        if error.faults:
            raise
        raise type(error)(error.detail, Fault(pointer, error.detail), slug=error.slug) from None


def _at(pointer: str, detail: str) -> Invalid:
    return Invalid(sentence(f"{pointer}: {detail}"), Fault(pointer, detail))


def _in_line(number: int, error: AppError) -> AppError:
    """Return the error of a line as one of the body, with pointers that begin with the line number."""
    detail = error.detail.replace("The body", "It").replace("at line 1, column", "at column")
    faults = [Fault(f"/{number}{each.pointer}", each.detail) for each in error.faults]
    faults = faults or [Fault(f"/{number}", detail)]
    return type(error)(f"Line {number}: {detail}", *faults, slug=error.slug, omitted=error.omitted)
