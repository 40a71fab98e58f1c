"""What became of the attempts of a run before its last one, in words."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rota.domain.primitives import english
from rota.domain.runs.model import Attempt, Run
from rota.domain.runs.outcomes import AttemptOutcome

_OUTCOMES = {
    AttemptOutcome.FAILED: ("failed", "failed"),
    AttemptOutcome.TIMED_OUT: ("took longer than the timeout", "took longer than the timeout"),
    AttemptOutcome.RETRY: ("asked for another one", "asked for another one"),
    AttemptOutcome.CANCELLED: ("was cancelled", "were cancelled"),
    AttemptOutcome.LOST: ("was lost", "were lost"),
    AttemptOutcome.RELEASED: ("was given back unfinished", "were given back unfinished"),
    AttemptOutcome.CONFLICT: ("met a conflict", "met conflicts"),
}
# So many of them, or of those in a row that ended alike, are told.
_MOST = 4


def attempts_before(run: Run, attempts: Sequence[Attempt], *, last_too: bool) -> str:
    """Return a sentence on the attempts that ended without ending the run; nothing if there are none.

    `last_too`: the latest one is among them, and another one is to follow.
    """
    ended = [each for each in attempts if each.outcome in _OUTCOMES]
    told = list(_told([each for each in ended if last_too or each.attempt < run.attempt]))
    if not told:
        return ""
    if len(told) > _MOST:
        told = [*told[: _MOST - 1], "so on"]
    said = english.and_list(told)
    return f"{said[:1].upper()}{said[1:]}."


def _told(attempts: Sequence[Attempt]) -> Iterator[str]:
    for outcome, group in groupby(attempts, key=lambda each: each.outcome):
        numbers = [each.attempt for each in group]
        if outcome is None:
            continue
        one, several = _OUTCOMES[outcome]
        if len(numbers) == 1:
            yield f"attempt {numbers[0]} {one}"
        else:
            yield f"attempts {english.numbers(numbers)} {several}"
