"""A plan as text: what is created, changed and pruned, with the fire times that appear, vanish or move."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.text import Text

from rota.cli.escaping import printable
from rota.cli.remote.apply.steps import Kind, Plan, Step

_MARKS: Mapping[Kind, tuple[str, str]] = {
    Kind.CREATED: ("+", "green"),
    Kind.CHANGED: ("~", "yellow"),
    Kind.PRUNED: ("-", "red"),
    Kind.REFUSED: ("!", "bold red"),
    Kind.UNCHANGED: ("=", "dim"),
}
_MOST_FIRE_TIMES = 5
_MOST_CHARACTERS = 120
_ABSENT = object()


def lines(plan: Plan) -> Iterator[Text]:
    """Yield the lines of a plan; of unchanged tasks, only how many they are."""
    for step in plan.steps:
        if step.kind is not Kind.UNCHANGED:
            yield from step_lines(step)
    yield Text(summary(plan))


def summary(plan: Plan) -> str:
    """Return how many tasks a plan creates, changes, prunes and leaves as they are."""
    counts = plan.counts()
    texts = [
        f"{counts[Kind.CREATED]} to create",
        f"{counts[Kind.CHANGED]} to change",
        f"{counts[Kind.PRUNED]} to prune",
        f"{counts[Kind.UNCHANGED]} unchanged",
    ]
    if counts[Kind.REFUSED]:
        texts.append(f"{counts[Kind.REFUSED]} refused")
    return f"Plan: {', '.join(texts)}."


def step_lines(step: Step) -> Iterator[Text]:
    """Yield the lines of one step."""
    mark, style = _MARKS[step.kind]
    taken = ", taken over" if step.takes_over else ""
    yield Text(f"{mark} {printable(step.name)}", style=style).append(
        f"  {step.kind.value}{taken}", style="dim"
    )
    if step.problem is not None:
        yield from (
            Text(f"    {printable(line)}", style="red") for line in step.problem.splitlines()
        )
    yield from (_change(each, step.kind) for each in step.changes)
    if step.changes_omitted:
        yield Text(f"    … and {step.changes_omitted} more changes", style="dim")
    if step.fire_times is not None:
        yield from _fire_times(step.fire_times)
    if step.vanishing:
        yield Text(f"    its next fire times vanish: {', '.join(step.vanishing)}, …", style="red")
    for warning in step.warnings:
        yield Text(
            f"    warning ({warning['code']}): {printable(warning['message'])}", style="yellow"
        )


def _change(change: Mapping[str, Any], kind: Kind) -> Text:
    before, after = change.get("before", _ABSENT), change.get("after", _ABSENT)
    text = Text(f"    {change['path'].removeprefix('/').replace('/', '.')}: ")
    if kind is Kind.CREATED or before is _ABSENT:
        return text.append(_value(after), style="green")
    if after is _ABSENT:
        return text.append(_value(before), style="red").append(" is removed")
    return (
        text.append(_value(before), style="red").append(" → ").append(_value(after), style="green")
    )


def _value(value: Any) -> str:
    text = "nothing" if value is _ABSENT else printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _fire_times(diff: Mapping[str, Any]) -> Iterator[Text]:
    """Yield how many fire times differ, and the first of them in the order of time."""
    counts = {name: count for name, count in diff["counts"].items() if count}
    if not counts:
        return
    until = diff["compared_until"][:10]
    texts = [
        f"{count}{'' if not diff['truncated'] else ' or more'} {_verb(name, count)}"
        for name, count in counts.items()
    ]
    yield Text(f"    fire times until {until}: {', '.join(texts)}")
    shown = sorted(_moments(diff), key=lambda pair: pair[0])[:_MOST_FIRE_TIMES]
    yield from (line for _, line in shown)
    more = sum(counts.values()) - len(shown)
    if more > 0:
        yield Text(f"      … and {more:,} more", style="dim")


def _verb(name: str, count: int) -> str:
    return f"{name}s" if count == 1 else name


def _moments(diff: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    """Yield each fire time that differs, with the line that shows it."""
    for each in diff["appear"]:
        yield each["at"], Text(f"      + {_time(each)}", style="green")
    for each in diff["vanish"]:
        yield each["at"], Text(f"      - {_time(each)}", style="red")
    for each in diff["move"]:
        yield (
            each["from"]["at"],
            Text(f"      ~ {_time(each['from'])} → {_time(each['to'])}", style="yellow"),
        )


def _time(time: Mapping[str, Any]) -> str:
    """Return a fire time in the zone of the schedule, with its weekday: a mistake in a weekday is seen at once."""
    at = datetime.fromisoformat(time["local"])
    seconds = "" if at.second == 0 and at.microsecond == 0 else at.strftime(":%S")
    changed = "" if time.get("dst") is None else f" ({time['dst']})"
    return f"{at:%a %Y-%m-%d %H:%M}{seconds} {_offset(at)}{changed}"


def _offset(at: datetime) -> str:
    text = at.strftime("%z")
    return "UTC" if text == "+0000" else f"{text[:3]}:{text[3:5]}"


def as_json(plan: Plan, failures: Mapping[str, str], *, applied: bool) -> dict[str, Any]:
    """Return a plan, or its results, for programs; `failures` has the problem of each task that failed."""
    return {
        "applied": applied,
        **plan.counts(),
        "failed": len(failures),
        "items": [_item(each, failures.get(each.name)) for each in plan.steps],
    }


def _item(step: Step, failure: str | None) -> dict[str, Any]:
    return {
        "name": step.name,
        "result": "failed" if failure is not None else step.kind.value,
        "owner": None if step.wanted is None else step.wanted.owner,
        "changes": [*step.changes],
        "changes_omitted": step.changes_omitted,
        "fire_times": step.fire_times,
        "warnings": [*step.warnings],
        "problem": failure or step.problem,
    }


def problem_lines(failures: Sequence[tuple[str, str]]) -> Iterator[Text]:
    """Yield what could not be applied."""
    for name, problem in failures:
        yield Text(f"! {name}: {printable(problem, lines=True)}", style="bold red")
