"""`rota apply`, also `rota task apply`."""

from typing import Annotated

import typer

from rota.cli.exits import CommandFailed, ExitCode
from rota.cli.output import Json, note, print_json, progress
from rota.cli.remote.apply.execution import execute
from rota.cli.remote.apply.planning import make_plan
from rota.cli.remote.apply.rendering import as_json as plan_as_json
from rota.cli.remote.apply.rendering import lines, problem_lines
from rota.cli.remote.apply.steps import Kind, Plan
from rota.cli.remote.apply.wanted import Wanted, read_wanted
from rota.cli.remote.arguments import Selector, Yes, selector
from rota.cli.remote.confirmation import confirm
from rota.cli.remote.documents.reading import DocumentError
from rota.cli.remote.service import Service, connected
from rota.cli.remote.text.lines import print_lines
from rota.cli.remote.text.selectors import as_query
from rota.cli.remote.text.values import plural


def apply(
    context: typer.Context,
    file: Annotated[
        list[str],
        typer.Option(
            "--file",
            "-f",
            help="YAML or JSON with tasks; several are possible. `-`: standard input.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the differences, and do nothing.")
    ] = False,
    exit_code: Annotated[
        bool,
        typer.Option("--exit-code", help="With --dry-run: exit with 1 if there are differences."),
    ] = False,
    owner: Annotated[
        str | None,
        typer.Option(
            help="Whose the tasks are: their tag owner:…. In place of `owner` in the files."
        ),
    ] = None,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Change tasks that have another owner, or none, as well."),
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Delete tasks of the owner that --selector matches and no file has."
        ),
    ] = False,
    chosen: Selector = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make the tasks of the service those of files.

    Shows what differs first, with the fire times that appear, vanish or move.
    Applied again it changes nothing. If a task is refused, nothing is applied.
    """
    filters = _prune_filters(prune=prune, chosen=chosen)
    wanted = _read(file, owner)
    with connected(context) as service:
        plan = _plan(service, wanted, filters, take_over=take_over)
        if not as_json:
            print_lines(lines(plan))
        refused = plan.of(Kind.REFUSED)
        if dry_run or refused or not plan.differences:
            if as_json:
                print_json(plan_as_json(plan, {}, applied=False))
            _end(plan, differs=exit_code and dry_run)
            return
        _confirm(plan, yes=yes)
        with progress("Tasks", len(plan.differences)) as advance:
            failures = execute(service, plan, advance)
    if as_json:
        print_json(plan_as_json(plan, failures, applied=True))
    else:
        print_lines(problem_lines([*failures.items()]))
        note(f"Applied: {len(plan.differences) - len(failures)}, failed: {len(failures)}.")
    if failures:
        raise typer.Exit(ExitCode.FAILED)


def _prune_filters(*, prune: bool, chosen: list[str] | None) -> dict[str, object] | None:
    selected = selector(chosen)
    if prune != (selected is not None):
        raise CommandFailed("--prune needs a --selector, and --selector goes with --prune.")
    return None if selected is None else as_query(selected)


def _read(files: list[str], owner: str | None) -> Wanted:
    try:
        return read_wanted(files, owner)
    except DocumentError as error:
        raise CommandFailed(str(error)) from None


def _plan(
    service: Service, wanted: Wanted, filters: dict[str, object] | None, *, take_over: bool
) -> Plan:
    with progress("Comparing", len(wanted.tasks)) as advance:
        return make_plan(service, wanted, prune=filters, take_over=take_over, advance=advance)


def _confirm(plan: Plan, *, yes: bool) -> None:
    """Ask before tasks are deleted, or taken from others; other changes are those of the files."""
    pruned = len(plan.of(Kind.PRUNED))
    taken = sum(step.takes_over for step in plan.steps)
    parts = [f"delete {plural(pruned, 'task')}, with runs and kv"] if pruned else []
    parts += [f"take over {taken}"] if taken else []
    if parts:
        confirm(f"{' and '.join(parts).capitalize()}?", yes=yes)


def _end(plan: Plan, *, differs: bool) -> None:
    """Exit with the code of a plan that is not executed."""
    codes = {step.code for step in plan.of(Kind.REFUSED)}
    if codes:
        note("Nothing is applied, since tasks are refused.")
        raise typer.Exit(ExitCode.CONFLICT if codes == {ExitCode.CONFLICT} else ExitCode.REFUSED)
    if differs and plan.differences:
        raise typer.Exit(ExitCode.FAILED)
