"""Carrying out a plan: each step on its own, on the very version that the plan was made from."""

from collections.abc import Callable

from rota.cli.exits import ExitCode
from rota.cli.remote.apply.steps import Kind, Plan, Step
from rota.cli.remote.service import Service, at, failure


def execute(service: Service, plan: Plan, advance: Callable[[int], None]) -> dict[str, str]:
    """Make the requests of a plan; return the problem of each task that failed. The others are done.

    Raises Unreachable: what was done until then stays, and the same command goes on with the rest.
    """
    failures = {}
    for step in plan.differences:
        try:
            _do(service, step)
        except Exception as error:
            failed = failure(error)
            if failed is None or failed.code is ExitCode.UNREACHABLE:
                raise
            failures[step.name] = failed.sentence
        advance(1)
    return failures


def _do(service: Service, step: Step) -> None:
    if step.kind is Kind.PRUNED:
        service.call("DELETE", at("tasks", step.name), if_match=step.etag)
    elif step.wanted is not None:
        service.declare(step.name, step.wanted.body, etag=step.etag)
