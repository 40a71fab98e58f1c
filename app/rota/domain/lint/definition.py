"""Lint of definitions: how the schedule fits the policies of its task, retries, time zones and the target."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import assert_never

from rota.domain.http_target.secret_headers import is_secret
from rota.domain.http_target.templates.grammar import is_filled_in
from rota.domain.lint.rules import lint, midnight, phase_of, reversed_offset
from rota.domain.lint.spacing import Spacing, closer_than
from rota.domain.lint.target_texts import target_texts
from rota.domain.policies import OverlapPolicy, RetryPolicy, shortest_retry
from rota.domain.primitives.bounds import DEFAULT_TIMEOUT
from rota.domain.primitives.finding import Finding
from rota.domain.primitives.texts import english
from rota.domain.primitives.texts.sealed import SealedText
from rota.domain.tasks.definition import TaskDefinition

_MOST_NAMED = 3


def lint_definition(
    definition: TaskDefinition,
    anchored_at: datetime,
    upcoming: Sequence[datetime],
    now: datetime,
    *,
    timeout_given: bool = False,
) -> list[Finding]:
    """Return the warnings about a definition: its schedule, how that fits its policies, and its target.

    `timeout_given`: the timeout was in the request. Otherwise a timeout equal to the default is not a choice.
    """
    schedule = definition.schedule
    found = lint(schedule, anchored_at, upcoming, now)
    for number, constraint in enumerate(definition.constraints):
        found += reversed_offset(constraint, f"/constraints/{number}: ")
    # The default says nothing of how long a run may be expected to take.
    if timeout_given or definition.timeout != DEFAULT_TIMEOUT:
        phase = phase_of(schedule, anchored_at) or midnight(now.date())
        spacing = closer_than(schedule, definition.timeout, now.date(), phase) if upcoming else None
        if spacing is not None:
            found.append(_takes_longer(definition, spacing))
    found += _no_retry(definition.retry)
    if definition.target is not None:
        found.extend(target_texts(definition.target, definition.input))
    return found


def _no_retry(retry: RetryPolicy) -> Iterator[Finding]:
    """Yield a finding if `max_elapsed` ends before the first retry can start."""
    limit = retry.max_elapsed
    if limit is None or retry.max_attempts == 1 or limit >= (shortest := shortest_retry(retry)):
        return
    jitter = ", less a fifth of jitter" if retry.jitter else ""
    yield Finding(
        "no_retry",
        f"No retry comes of 'retry': the first one would start {english.duration(shortest)} after the failure at the "
        f"soonest (initial_interval{jitter}), and none may start later than "
        f"{english.duration(limit)} after the first attempt (max_elapsed). A handler that raises Retry with a shorter "
        "time is tried again. Make initial_interval shorter or max_elapsed longer, or set max_attempts to 1.",
    )


def plain_headers(definition: TaskDefinition) -> Iterator[Finding]:
    """Yield that secret headers of the target are stored in plain; where there is a key, they soon are not."""
    headers = definition.target.headers if definition.target else {}
    named = [
        repr(name)
        for name, value in headers.items()
        if is_secret(name, value) and not isinstance(value, SealedText) and not is_filled_in(value)
    ]
    if named:
        verb = "looks" if len(named) == 1 else "look"
        stored = "is" if len(named) == 1 else "are"
        yield Finding(
            "plain_secret",
            f"{english.and_list(named[:_MOST_NAMED])} in target.headers {verb} secret and {stored} stored in plain. "
            "Set ROTA_ENCRYPTION_KEYS to have such headers encrypted, or refer to a named secret: "
            "'Bearer {{ secret.crm }}', with ROTA_SECRET_CRM or PUT /v1/secrets/crm.",
        )


def handler_missing(handler: str) -> Finding:
    """Return the finding that no live replica knows a handler."""
    return Finding(
        "handler_missing",
        f"No live replica knows the handler {handler!r}: runs wait (blocked, handler) until one does. "
        "Start a replica with its code, or see GET /v1/handlers for the others.",
    )


def _takes_longer(definition: TaskDefinition, spacing: Spacing) -> Finding:
    policy = definition.overlap_policy
    gap = english.duration(spacing.gap)
    apart = f"fire times {'may ' if spacing.moved else ''}come {gap} apart"
    if spacing.moved:
        apart += " (moved by jitter or flex)"
    if spacing.on is not None:
        apart += f" where the clocks are changed, on {spacing.on.isoformat()}"
    return Finding(
        "timeout_longer_than_interval",
        f"A run may take {english.duration(definition.timeout)} (timeout), and {apart}; "
        f"as overlap_policy is {policy}, {_consequence(policy)}. "
        "If that is not meant, give a shorter timeout or another overlap_policy.",
    )


def _consequence(policy: OverlapPolicy) -> str:
    """Return what the policy does when a run takes longer than the time to the next one."""
    match policy:
        case OverlapPolicy.SKIP:
            return "fire times that come meanwhile are skipped"
        case OverlapPolicy.BUFFER:
            return "runs then queue up behind each other"
        case OverlapPolicy.ALLOW:
            return "runs are then executed beside each other"
        case OverlapPolicy.REPLACE:
            return "each fire time then cancels the run before it"
        case _:
            assert_never(policy)
