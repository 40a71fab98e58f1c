"""`rota doctor`: what keeps a service from working, or may, each with its fix. It need not run, and may."""

from collections.abc import Callable, Iterator

import typer

from rota.cli.exits import ExitCode
from rota.cli.local.findings import Finding, Level, print_findings
from rota.cli.local.health import database, machine, settings
from rota.cli.output import Json


def doctor(as_json: Json = False) -> None:
    """Look for what is wrong with settings, database, handlers and machine; name the fix of each finding."""
    findings = list(_findings())
    print_findings(findings, as_json=as_json)
    if any(each.level is Level.ERROR for each in findings):
        raise typer.Exit(ExitCode.FAILED)


def _findings() -> Iterator[Finding]:
    given, found = settings.read()
    yield from found
    yield from settings.unknown()
    yield from machine.contexts_file()
    if given is None:  # nothing else can be looked at
        return
    checks: tuple[Callable[..., Iterator[Finding]], ...] = (
        settings.agreeing,
        machine.port,
        machine.time_zones,
        machine.handlers,
        machine.extras,
        database.file,
        database.content,
    )
    for check in checks:
        yield from check(given)
