"""The rules that hold for a task: its own, and the defaults of the service where it has none."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol, TypeVar, assert_never

from pydantic import ValidationError

from rota.domain.alerts.rules import (
    AlertKind,
    FailureRule,
    LateRule,
    Off,
    SkippedRule,
    SuccessRule,
)
from rota.domain.primitives.json import json_text
from rota.domain.schedules.definitions import Schedule, recurs
from rota.domain.validation.locations import Place
from rota.domain.validation.messages import word
from rota.errors import Invalid, sentence

Rule = FailureRule | SuccessRule | SkippedRule | LateRule
FailureKind = Literal[
    AlertKind.FAILURES, AlertKind.FAILURE_RATE, AlertKind.NO_SUCCESS, AlertKind.NO_PING
]
_R = TypeVar("_R", FailureRule, SuccessRule, SkippedRule, LateRule)


class Ruled(Protocol):
    """The fields of a task's definition that are rules, and its schedule."""

    @property
    def schedule(self) -> Schedule: ...
    @property
    def on_failure(self) -> FailureRule | Off | None: ...
    @property
    def on_success(self) -> SuccessRule | Off | None: ...
    @property
    def on_skipped(self) -> SkippedRule | Off | None: ...
    @property
    def on_late(self) -> LateRule | Off | None: ...
    @property
    def expect_every(self) -> timedelta | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for a task; or, without `expect_every`, the defaults of the service."""

    on_failure: FailureRule | None = None
    on_success: SuccessRule | None = None
    on_skipped: SkippedRule | None = None
    on_late: LateRule | None = None
    expect_every: timedelta | None = None

    @property
    def concern_ends(self) -> bool:
        """Whether the end of a run can cause an edge."""
        return bool(self.on_failure or self.on_success or self.on_skipped)

    def of(self, kind: AlertKind) -> Rule | None:
        """Return the rule that alerts of a kind follow; None if there are none of this kind."""
        match kind:
            case AlertKind.SUCCESS:
                return self.on_success
            case AlertKind.SKIPPED:
                return self.on_skipped
            case AlertKind.LATE:
                return self.on_late
            case _:
                return self.on_failure if self._is_failing_by(kind) else None

    def _is_failing_by(self, kind: FailureKind) -> bool:
        """Return whether a condition of `on_failure` is of this kind."""
        if self.on_failure is None:
            return False
        match kind:
            case AlertKind.FAILURES:
                return self.on_failure.after is not None
            case AlertKind.FAILURE_RATE:
                return self.on_failure.rate is not None
            case AlertKind.NO_SUCCESS:
                return self.on_failure.success_within is not None
            case AlertKind.NO_PING:
                return self.expect_every is not None
            case _:
                assert_never(kind)


NO_RULES = Rules()
_NO_RULES = (None,) * 5
_NO_ENDS = (None,) * 3
_NOBODY = (None,) * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerting:
    """What alerts depend on besides their tasks: the defaults of the service, and its address for links."""

    defaults: Rules = field(default=NO_RULES)
    public_url: str = ""


def rules_of(of: Ruled, name: str, defaults: Rules) -> Rules:
    """Return the rules that hold for the task called `name`.

    A default that names this very task does not hold for it: it would notify itself. The `success_within` of a default
    holds for tasks that fire again and again: that nobody has asked for another one is no failure.
    """
    own = (of.on_failure, of.on_success, of.on_skipped, of.on_late, of.expect_every)
    if own == _NO_RULES and defaults == NO_RULES:  # as most tasks
        return NO_RULES
    failure = defaults.on_failure
    if failure is not None and failure.success_within is not None and not recurs(of.schedule):
        # A copy is not validated: without a condition, it is still what `expect_every` notifies by.
        failure = failure.model_copy(update={"success_within": None})
    return Rules(
        on_failure=_holding(of.on_failure, failure, name),
        on_success=_holding(of.on_success, defaults.on_success, name),
        on_skipped=_holding(of.on_skipped, defaults.on_skipped, name),
        on_late=_holding(of.on_late, defaults.on_late, name),
        expect_every=of.expect_every,
    )


def has_rules_for_ends(of: Ruled) -> bool:
    """Return whether a task has rules of its own that the end of a run can cause an edge of."""
    rules = (of.on_failure, of.on_success, of.on_skipped)
    return rules != _NO_ENDS and any(rule is not None and rule != "off" for rule in rules)


def notified_by(of: Ruled) -> dict[str, str]:
    """Return the tasks that a definition's own rules name, by the field."""
    if (of.on_failure, of.on_success, of.on_skipped, of.on_late) == _NOBODY:  # as most tasks
        return {}
    rules = {
        "on_failure": of.on_failure,
        "on_success": of.on_success,
        "on_skipped": of.on_skipped,
        "on_late": of.on_late,
    }
    return {
        field: rule.task
        for field, rule in rules.items()
        if rule is not None and not isinstance(rule, str)
    }


def _holding(own: _R | Off | None, default: _R | None, name: str) -> _R | None:
    if own is None:
        own = default
    if own is None or isinstance(own, str) or own.task == name:
        return None
    return own


def read_defaults(on_failure: str, on_success: str, on_skipped: str, on_late: str) -> Rules:
    """Return the defaults that are set as JSON texts, empty for none. Raises Invalid, with what is wrong."""
    return Rules(
        on_failure=_read("ROTA_ON_FAILURE", on_failure, FailureRule),
        on_success=_read("ROTA_ON_SUCCESS", on_success, SuccessRule),
        on_skipped=_read("ROTA_ON_SKIPPED", on_skipped, SkippedRule),
        on_late=_read("ROTA_ON_LATE", on_late, LateRule),
    )


def _read(variable: str, text: str, kind: type[_R]) -> _R | None:
    if not text.strip():
        return None
    example = '{"task": "alert-ops"}'
    try:
        return kind.model_validate(json_text.loads(text))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        detail = word([fault], Place(""))
        raise Invalid(sentence(f"{variable}: {f'{place}: ' if place else ''}{detail}")) from None
    except Invalid as error:
        raise Invalid(f"{variable} is not JSON such as {example}: {error.detail}") from None
