"""What applying would do: a dry run of each task that is wanted, and those that are to be pruned."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rota.cli.exits import CommandFailed, ExitCode
from rota.cli.remote.apply import ownership
from rota.cli.remote.apply.order import in_order, missing_before
from rota.cli.remote.apply.steps import Kind, Plan, Step
from rota.cli.remote.apply.wanted import Wanted, WantedTask
from rota.cli.remote.service import Service, at, etag_of, failure

_KINDS = {"created": Kind.CREATED, "unchanged": Kind.UNCHANGED, "kept": Kind.UNCHANGED}
#: Warnings about tasks that are named and missing: those of the same files are about to be created.
_ABOUT_OTHERS = frozenset(["predecessor_missing", "notified_missing"])
_VANISHING = 5
#: More tasks than these are compared together, a hundred in a request; few one by one, with all of their fire times.
_FEW = 20
_MOST_TOGETHER = 100
#: What declaring a task would do, and the ETag of what it would change.
_Answer = tuple[Mapping[str, Any], str | None]
_UNCHANGED: Mapping[str, Any] = {
    "result": "unchanged",
    "changes": [],
    "changes_omitted": 0,
    "fire_times": None,
    "warnings": [],
}


def make_plan(
    service: Service,
    wanted: Wanted,
    *,
    prune: Mapping[str, Any] | None,
    take_over: bool,
    advance: Callable[[int], None],
) -> Plan:
    """Return the steps for tasks; `prune` has the filters of those that are deleted if no file declares them."""
    names = {each.name for each in wanted.tasks}
    steps: list[Step] = []
    created: dict[str, WantedTask] = {}
    for group in _groups(in_order(wanted.tasks)):
        answers, etags = _together(service, group) if len(wanted.tasks) > _FEW else ({}, {})
        for each in group:
            known = (answers[each.name], etags.get(each.name)) if each.name in answers else None
            step = _step(service, each, names, created, known, take_over=take_over)
            steps.append(step)
            if step.kind is Kind.CREATED:
                created[each.name] = each
            advance(1)
    if prune is not None:
        left = _superfluous(service, prune, names, wanted.owners)
        steps += [_pruned(service, task) for task in left]
    return Plan(steps)


def _step(
    service: Service,
    wanted: WantedTask,
    names: Collection[str],
    created: Mapping[str, WantedTask],
    known: _Answer | None,
    *,
    take_over: bool,
) -> Step:
    """Return the step for a task; `created` are those before it that are missing, `known` is its answer, or None."""
    try:
        answer, etag = known or _answer(service, wanted, missing_before(wanted, created))
    except Exception as error:
        failed = failure(error)
        if failed is None or failed.code is ExitCode.UNREACHABLE:
            raise
        return _refused(wanted, failed)
    step = of_answer(wanted.name, answer, wanted, etag)
    warnings = [each for each in step.warnings if not _is_about(each, names)]
    return _owned(service, step.replace(warnings=warnings), wanted, take_over=take_over)


def _groups(tasks: Sequence[WantedTask]) -> Iterator[Sequence[WantedTask]]:
    return (tasks[first : first + _MOST_TOGETHER] for first in range(0, len(tasks), _MOST_TOGETHER))


def _together(
    service: Service, tasks: Sequence[WantedTask]
) -> tuple[Mapping[str, Mapping[str, Any]], Mapping[str, str]]:
    """Return what declaring tasks would do, and the ETags of those that it would change, each by name.

    Nothing if one is refused: each is asked for by itself then.
    """
    try:
        answer, etags = service.compare_all([each.body for each in tasks])
    except Exception as error:
        failed = failure(error)
        if failed is None or failed.code is ExitCode.UNREACHABLE:
            raise
        return {}, {}
    unchanged = {each.name: _UNCHANGED for each in tasks} if not answer["items_omitted"] else {}
    return unchanged | {each["name"]: each for each in answer["items"]}, etags


def _answer(service: Service, wanted: WantedTask, missing: Sequence[WantedTask]) -> _Answer:
    """Return what declaring a task would do; together with the tasks that it comes after, if they are missing."""
    if not missing:
        return service.dry_run(wanted.name, wanted.body)
    return service.dry_run_behind(wanted.name, wanted.body, [each.body for each in missing])


def _refused(wanted: WantedTask, failed: CommandFailed) -> Step:
    return Step(
        Kind.REFUSED,
        wanted.name,
        wanted,
        problem=f"{failed.sentence}\n({wanted.place})",
        code=failed.code,
    )


def of_answer(
    name: str, answer: Mapping[str, Any], wanted: WantedTask | None = None, etag: str | None = None
) -> Step:
    """Return the step for the answer of a dry run."""
    return Step(
        _KINDS.get(answer["result"], Kind.CHANGED),
        name,
        wanted,
        etag=etag,
        changes=answer["changes"],
        changes_omitted=answer["changes_omitted"],
        fire_times=answer["fire_times"],
        warnings=answer["warnings"],
    )


def _is_about(warning: Mapping[str, Any], names: Collection[str]) -> bool:
    return warning["code"] in _ABOUT_OTHERS and any(
        f"'{name}'" in warning["message"] for name in names
    )


def _owned(service: Service, step: Step, wanted: WantedTask, *, take_over: bool) -> Step:
    """Return the step; if the task is of another owner, that it is refused, or taken over."""
    if step.kind is not Kind.CHANGED:
        return step  # a new one has no owner yet, an unchanged one has ours in its tags
    tags = _tags_before(service, step)
    if tags is None:
        return step
    problem = ownership.refusal(ownership.owner_of(tags), wanted.owner)
    if problem is None:
        return step
    if take_over:
        return step.replace(takes_over=True)
    return Step(Kind.REFUSED, step.name, wanted, problem=problem, code=ExitCode.CONFLICT)


def _tags_before(service: Service, step: Step) -> Iterable[str] | None:
    """Return the present tags of a task; None if they stay as they are."""
    found = next((each for each in step.changes if each["path"] == "/tags"), None)
    if found is not None:
        return found.get("before") or ()
    if step.changes_omitted:  # theirs may be among them
        return list(service.get(at("tasks", step.name))["tags"])
    return None


def _superfluous(
    service: Service, filters: Mapping[str, Any], names: Collection[str], owners: Collection[str]
) -> list[Mapping[str, Any]]:
    """Return the tasks that the filters leave, are owned by one of the owners, and are not declared."""
    return [
        task
        for task in service.pages(at("tasks"), filters)
        if task["name"] not in names and ownership.owner_of(task["tags"]) in owners
    ]


def _pruned(service: Service, task: Mapping[str, Any]) -> Step:
    """Return the step that deletes a task, with the next fire times that vanish with it."""
    name = task["name"]
    upcoming = service.get(at("tasks", name, "upcoming"), count=_VANISHING)["items"]
    return Step(Kind.PRUNED, name, etag=etag_of(task), vanishing=upcoming)
