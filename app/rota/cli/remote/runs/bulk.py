"""`rota run rerun`, `cancel` and `delete`: of runs by their ids, or of all that filters select, after a preview."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from rota.cli.exits import CommandFailed, ExitCode
from rota.cli.output import Json, note, print_json, print_table, progress
from rota.cli.remote.arguments import DryRun, Input, Yes, json_argument
from rota.cli.remote.confirmation import confirm
from rota.cli.remote.interruption import noting_what_goes_on
from rota.cli.remote.one_by_one import change_one_by_one
from rota.cli.remote.runs.filters import Filters, as_selector, filters
from rota.cli.remote.service import Service, at, connected
from rota.cli.remote.text.values import plural

_Ids = Annotated[list[str] | None, typer.Argument(help="The ids of runs.", metavar="[RUN]...")]
_Pace = Annotated[
    int | None, typer.Option(min=1, help="How many of the new runs may be unfinished at a time.")
]
_Every = Annotated[bool, typer.Option("--all", help="Every run.")]
_DONE = {"rerun": "run again", "cancel": "cancelled", "delete": "deleted"}
#: Seconds that a request waits for the end of an operation.
_WAIT = 5


def rerun(
    context: typer.Context,
    ids: _Ids = None,
    task: Filters.Task = None,
    tag: Filters.Tag = None,
    all_tags: Filters.AllTags = None,
    status: Filters.Status = None,
    failed: Filters.Failed = False,
    reason: Filters.Reason = None,
    error: Filters.Error = None,
    since: Filters.Since = None,
    until: Filters.Until = None,
    input: Input = None,
    max_concurrent: _Pace = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run finished runs again, with the same input: `rota run rerun --failed --since 24h`."""
    chosen = filters(
        task=task, tag=tag, all_tags=all_tags, status=status, failed=failed, reason=reason, error=error,
        since=since, until=until,
    )  # fmt: skip
    body: dict[str, Any] = {} if input is None else {"input": json_argument(input)}
    with connected(context) as service:
        if ids:
            _refuse_filters(chosen)
            _each(service, "rerun", ids, body, as_json=as_json)
            return
        body |= {} if max_concurrent is None else {"max_concurrent": max_concurrent}
        _selected(service, "rerun", chosen, body, dry_run=dry_run, yes=yes, as_json=as_json)


def cancel(
    context: typer.Context,
    ids: _Ids = None,
    task: Filters.Task = None,
    tag: Filters.Tag = None,
    all_tags: Filters.AllTags = None,
    status: Filters.Status = None,
    since: Filters.Since = None,
    until: Filters.Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Cancel unfinished runs: waiting ones end at once, running ones are requested to end."""
    chosen = filters(
        task=task, tag=tag, all_tags=all_tags, status=status, failed=False, reason=None, error=None,
        since=since, until=until,
    )  # fmt: skip
    with connected(context) as service:
        if ids:
            _refuse_filters(chosen)
            _each(service, "cancel", ids, {}, as_json=as_json)
        else:
            _selected(service, "cancel", chosen, {}, dry_run=dry_run, yes=yes, as_json=as_json)


def delete(
    context: typer.Context,
    task: Filters.Task = None,
    tag: Filters.Tag = None,
    all_tags: Filters.AllTags = None,
    status: Filters.Status = None,
    failed: Filters.Failed = False,
    reason: Filters.Reason = None,
    error: Filters.Error = None,
    since: Filters.Since = None,
    until: Filters.Until = None,
    every: _Every = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete finished runs that filters select, with their attempts and logs."""
    chosen = filters(
        task=task, tag=tag, all_tags=all_tags, status=status, failed=failed, reason=reason, error=error,
        since=since, until=until,
    )  # fmt: skip
    if every:
        _refuse_filters(chosen)
        chosen = {"all": True}
    with connected(context) as service:
        _selected(service, "delete", chosen, {}, dry_run=dry_run, yes=yes, as_json=as_json)


def _refuse_filters(chosen: Mapping[str, Any]) -> None:
    if chosen:
        raise CommandFailed("Give ids of runs, or filters, not both.")


def _each(
    service: Service, verb: str, ids: Sequence[str], body: Mapping[str, Any], *, as_json: bool
) -> None:
    def change(run: str) -> Any:
        answer = service.call(
            "POST", at("runs", run, verb), body=body or None, repeatable=verb == "rerun"
        )
        if verb == "rerun" and not as_json:
            note(f"New run: {answer['id']}")
        return answer

    change_one_by_one(ids, change, done=_DONE[verb], noun="run", as_json=as_json)


def _selected(
    service: Service,
    verb: str,
    chosen: Mapping[str, Any],
    body: Mapping[str, Any],
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Preview what filters select, ask, and have exactly that done. Exits with 1 if runs have refused."""
    if not chosen:
        raise CommandFailed("Give ids of runs, or filters such as --failed --since 24h.")
    wanted = {"selector": as_selector(dict(chosen)), **body, "dry_run": True}
    preview = service.call("POST", at("runs", verb), body=wanted, repeatable=True)
    if dry_run or preview["runs"] == 0:
        _show_preview(preview, verb, as_json=as_json)
        return
    if not yes:
        _show_preview(preview, verb, as_json=False)
        confirm(f"{_imperative(verb)} {plural(preview['runs'], 'run')}?", yes=False)
    ended = _confirmed(service, preview)
    _show_end(ended, verb, as_json=as_json)
    if ended["results"]["refused"]:
        raise typer.Exit(ExitCode.FAILED)


def _imperative(verb: str) -> str:
    return {"rerun": "Run again", "cancel": "Cancel", "delete": "Delete"}[verb]


def _show_preview(preview: Mapping[str, Any], verb: str, *, as_json: bool) -> None:
    if as_json:
        print_json(preview)
        return
    statuses = ", ".join(f"{count:,} {status}" for status, count in preview["statuses"].items())
    more = " There are more, which are left out." if preview["truncated"] else ""
    note(
        f"{plural(preview['runs'], 'run')} would be {_DONE[verb]}{f' ({statuses})' if statuses else ''}.{more}"
    )
    for each in preview["foreseen"]:
        note(f"{each['runs']:,} of them will be refused: {each['detail']}")
    if preview.get("items"):
        print_table(("run", "task"), ((each["run"], each["task"]) for each in preview["items"]))


def _confirmed(service: Service, preview: Mapping[str, Any]) -> Any:
    """Confirm an operation and return it when it has ended; shows how far it is."""
    id = preview["id"]
    goes_on = f"The operation goes on. What it has done: rota run bulk {id}"
    with noting_what_goes_on(goes_on), progress("Runs", preview["runs"]) as advance:
        now = service.call(
            "POST", at("bulk", id, "confirm"), query={"wait": _WAIT}, repeatable=True
        )
        done = 0
        while True:
            dealt = now["runs"] - now["results"]["pending"]
            advance(dealt - done)
            done = dealt
            if now["status"] in {"finished", "cancelled"}:
                return now
            # Confirming again only waits: it is executed once.
            now = service.call(
                "POST", at("bulk", id, "confirm"), query={"wait": _WAIT}, repeatable=True
            )


def _show_end(ended: Mapping[str, Any], verb: str, *, as_json: bool) -> None:
    if as_json:
        print_json(ended)
        return
    results = ended["results"]
    parts = [f"{results['done']:,} {_DONE[verb]}"]
    parts += (
        [f"{results['changed']:,} had changed and were left alone"] if results["changed"] else []
    )
    parts += [f"{results['refused']:,} refused"] if results["refused"] else []
    parts += [f"{results['pending']:,} left"] if results["pending"] else []
    typer.echo(f"{', '.join(parts)}.")
    if results["refused"]:
        note(f"Why: rota run bulk {ended['id']} --result refused")
