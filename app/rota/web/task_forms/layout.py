"""The form as it is laid out: sections, what is folded in them, and where faults are shown."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rota.domain.primitives.json import json_text
from rota.errors import Fault
from rota.web.task_forms.fields import Field, Kind

_SECTIONS: Final = (
    ("What", ("name", "handler", "input", "target", "description")),
    ("When", ("schedule", "paused")),
    ("Retries and timeouts", ("retry", "timeout", "heartbeat_timeout")),
    ("Overlap and missed fire times", ("overlap_policy", "misfire_policy", "misfire_grace")),
    ("Queue, limits and conditions", ("queue", "priority", "concurrency", "constraints")),
    ("Alerts", ("on_failure", "on_success", "on_skipped", "on_late", "expect_every")),
    ("Key-value table", ("kv", "kv_history", "kv_grants", "kv_schema")),
    ("Tags, history and badge", ("tags", "retention", "delete_after", "badge")),
)
_OPEN: Final = 2
#: The members that are not folded, of the groups that fold any.
_IN_FRONT: Final[Mapping[str, frozenset[str]]] = {
    "/target": frozenset({"url", "method", "headers", "body", "auth"}),
    "/schedule#once": frozenset({"at", "timezone", "delay"}),
    "/schedule#interval": frozenset({"every", "anchor"}),
    "/schedule#cron": frozenset({"expression", "timezone"}),
    "/schedule#calendar": frozenset({"unit", "step", "day", "time", "timezone"}),
    "/schedule#any_of": frozenset({"schedules"}),
    "/schedule#after": frozenset({"tasks", "on"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A field with what was typed into it, and what is wrong with that."""

    field: Field
    #: How it is typed: as the field says, or as JSON if its value has another shape.
    kind: Kind
    value: str
    faults: tuple[str, ...]
    front: tuple["Shown", ...] = ()
    folded: tuple["Shown", ...] = ()
    forms: tuple[tuple[str, "Shown"], ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether what it folds is to be seen: something was typed there, or is wrong."""
        return any(each.is_used for each in self.folded)

    @property
    def is_used(self) -> bool:
        """Whether something was typed into it, or is wrong with it."""
        below = (*self.front, *self.folded, *(form for _, form in self.forms))
        typed = self.value not in ("", self.field.default)
        return bool(self.faults or typed or any(each.is_used for each in below))


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Some fields under a title."""

    title: str
    fields: tuple[Shown, ...]
    is_folded: bool

    @property
    def is_open(self) -> bool:
        """Whether it is to be seen: something was typed there, or is wrong."""
        return any(each.is_used for each in self.fields)


def lay_out(
    fields: Sequence[Field], typed: Mapping[str, str], faults: Iterable[Fault]
) -> tuple[list[Section], list[Fault]]:
    """Return the sections of a form, and the faults that none of its fields is for."""
    placed, others = _placed(fields, typed, faults)
    by_name = {each.path.removeprefix("/"): each for each in fields}
    named = [
        (title, [by_name.pop(name) for name in names if name in by_name])
        for title, names in _SECTIONS
    ]
    sections = [
        Section(
            title=title,
            fields=tuple(_shown(each, typed, placed) for each in members),
            is_folded=index >= _OPEN,
        )
        for index, (title, members) in enumerate([*named, ("More", list(by_name.values()))])
        if members
    ]
    return sections, others


def lay_out_one(
    field: Field, typed: Mapping[str, str], faults: Iterable[Fault]
) -> tuple[Shown, list[Fault]]:
    """Return a field as it is shown, and the faults that neither it nor one in it is for."""
    placed, others = _placed([field], typed, faults)
    return _shown(field, typed, placed), others


def _placed(
    fields: Sequence[Field], typed: Mapping[str, str], faults: Iterable[Fault]
) -> tuple[dict[str, list[str]], list[Fault]]:
    """Return the faults by the path of the field that is nearest to each, and the others."""
    paths = {each.pointer: each for field in fields for each in _visible(field, typed)}
    placed: dict[str, list[str]] = {}
    others = []
    for fault in faults:
        pointer = fault.pointer
        while pointer and pointer not in paths:
            pointer = pointer.rpartition("/")[0]
        if not pointer:
            others.append(fault)
            continue
        rest = fault.pointer.removeprefix(pointer).lstrip("/")
        detail = f"{json_text.unescape(rest)}: {fault.detail}" if rest else fault.detail
        placed.setdefault(paths[pointer].path, []).append(detail)
    return placed, others


def _visible(field: Field, typed: Mapping[str, str]) -> Iterator[Field]:
    """Yield a field and those in it, of a choice those of the chosen form."""
    yield field
    if field.kind is Kind.CHOICE:
        form = dict(field.forms).get(field.chosen(typed))
        if form is not None:
            # The fault of a form as a whole is shown with it.
            yield from _visible(form, typed)
    for each in field.fields:
        yield from _visible(each, typed)


def _shown(field: Field, typed: Mapping[str, str], placed: Mapping[str, list[str]]) -> Shown:
    in_front = _IN_FRONT.get(field.path)
    below = [_shown(each, typed, placed) for each in field.fields]
    front = [each for each in below if in_front is None or _name(each.field) in in_front]
    value = field.chosen(typed) if field.kind is Kind.CHOICE else typed.get(field.path, "")
    return Shown(
        field=field,
        kind=_kind(field, value, typed),
        value=value,
        faults=tuple(placed.get(field.path, ())),
        front=tuple(front),
        folded=tuple(each for each in below if each not in front),
        forms=tuple((name, _shown(form, typed, placed)) for name, form in field.forms),
    )


def _kind(field: Field, value: str, typed: Mapping[str, str]) -> Kind:
    if typed.get(field.as_json):
        return Kind.JSON
    # A browser leaves the ends of lines out of a field with one line.
    return Kind.LONG if field.kind is Kind.TEXT and "\n" in value else field.kind


def _name(field: Field) -> str:
    return field.path.rpartition("/")[2]
