"""`rota task pause`, `resume`, `cancel` and `delete`: of tasks by name, or of all that a selector matches."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from rota.cli.exits import CommandFailed, ExitCode
from rota.cli.output import Json, note, print_json
from rota.cli.remote import arguments
from rota.cli.remote.arguments import DryRun, Selector, Yes, given
from rota.cli.remote.confirmation import confirm
from rota.cli.remote.one_by_one import change_one_by_one
from rota.cli.remote.service import Service, at, connected
from rota.cli.remote.text.values import plural

_Names = Annotated[
    list[str] | None, typer.Argument(help="The names of tasks.", metavar="[TASK]...")
]
#: What a verb has done, in a sentence.
_DONE = {"pause": "paused", "resume": "resumed", "cancel": "cancelled", "delete": "deleted"}


class CatchUp(StrEnum):
    """What happens to the fire times of a pause."""

    NONE = "none"
    ONCE = "once"
    ALL = "all"


def pause(
    context: typer.Context,
    names: _Names = None,
    selector: Selector = None,
    reason: Annotated[str | None, typer.Option(help="Why; it is shown with the task.")] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Pause tasks: nothing fires until they are resumed; what runs goes on."""
    _apply(
        context,
        "pause",
        names,
        selector,
        given(reason=reason),
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )


def resume(
    context: typer.Context,
    names: _Names = None,
    selector: Selector = None,
    catch_up: Annotated[
        CatchUp, typer.Option(help="Fire times of the pause that run now.")
    ] = CatchUp.NONE,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Resume paused tasks."""
    body = {"catch_up": catch_up.value}
    _apply(context, "resume", names, selector, body, dry_run=dry_run, yes=yes, as_json=as_json)


def cancel(
    context: typer.Context,
    names: _Names = None,
    selector: Selector = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Cancel tasks for good: nothing fires, unfinished runs are cancelled; history and kv stay."""
    _apply(context, "cancel", names, selector, {}, dry_run=dry_run, yes=yes, as_json=as_json)


def delete(
    context: typer.Context,
    names: _Names = None,
    selector: Selector = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete tasks, with their runs and their kv."""
    _apply(context, "delete", names, selector, {}, dry_run=dry_run, yes=yes, as_json=as_json)


def _apply(
    context: typer.Context,
    verb: str,
    names: Sequence[str] | None,
    selector: Sequence[str] | None,
    body: Mapping[str, Any],
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    selected = arguments.selector(selector)
    if bool(names) == (selected is not None):
        raise CommandFailed("Give names of tasks, or a --selector.")
    with connected(context) as service:
        if selected is not None:
            _by_selector(
                service,
                verb,
                {"selector": selected, **body},
                dry_run=dry_run,
                yes=yes,
                as_json=as_json,
            )
        elif dry_run:
            raise CommandFailed("--dry-run goes with --selector.")
        else:
            _by_names(service, verb, names or (), body, yes=yes, as_json=as_json)


def _by_names(
    service: Service,
    verb: str,
    names: Sequence[str],
    body: Mapping[str, Any],
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Do it to each task; what fails does not keep the others from it."""
    if verb == "delete":
        confirm(f"Delete {_listed(names)}, with runs and kv?", yes=yes)

    def change(name: str) -> Any:
        if verb == "delete":
            return service.call("DELETE", at("tasks", name))
        return service.call("POST", at("tasks", name, verb), body=body or None)

    change_one_by_one(names, change, done=_DONE[verb], noun="task", as_json=as_json)


def _listed(names: Sequence[str]) -> str:
    return f"the task {names[0]}" if len(names) == 1 else f"{len(names)} tasks"


def _by_selector(
    service: Service, verb: str, body: Mapping[str, Any], *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Preview what the selector matches, ask, and do it. Exits with 1 if a task has refused."""
    preview = service.call("POST", at("tasks", verb), body={**body, "dry_run": True})
    if dry_run or preview["changed"] == 0:
        _report(preview, f"would be {_DONE[verb]}", as_json=as_json)
        return
    if not yes:
        note(_sentence(preview, f"would be {_DONE[verb]}"))
        confirm(f"{verb.capitalize()} {plural(preview['changed'], 'task')}?", yes=False)
    answer = service.call("POST", at("tasks", verb), body=dict(body))
    _report(answer, _DONE[verb], as_json=as_json)
    if answer["refused"]:
        raise typer.Exit(ExitCode.FAILED)


def _report(answer: Mapping[str, Any], done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    typer.echo(_sentence(answer, done))
    for each in answer["refused"]:
        note(f"{each['task']}: {each['detail']}")


def _sentence(answer: Mapping[str, Any], done: str) -> str:
    return f"{answer['matched']:,} match: {answer['changed']:,} {done}, {answer['unchanged']:,} unchanged."
