"""How the attempts of a run before its last one ended, as a sentence."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import assert_never

from rota.domain.primitives.texts import english
from rota.domain.runs.model import Attempt, Run
from rota.domain.runs.outcomes import AttemptOutcome

# How many attempts, or attempts in a row that ended alike, the sentence names.
_MOST = 4


def attempts_before(run: Run, attempts: Sequence[Attempt], *, last_too: bool) -> str:
    """Return a sentence on the attempts that ended without ending the run; an empty text if there are none.

    `last_too`: the latest attempt is one of them, and another one follows.
    """
    before = [each for each in attempts if last_too or each.attempt < run.attempt]
    phrases = list(_phrases(before))
    if not phrases:
        return ""
    if len(phrases) > _MOST:
        phrases = [*phrases[: _MOST - 1], "so on"]
    text = english.and_list(phrases)
    return f"{text[:1].upper()}{text[1:]}."


def _phrases(attempts: Sequence[Attempt]) -> Iterator[str]:
    ended = (each for each in attempts if each.outcome not in {None, AttemptOutcome.SUCCEEDED})
    for outcome, group in groupby(ended, key=lambda each: each.outcome):
        numbers = [each.attempt for each in group]
        if outcome is not None:
            attempt = "attempt" if len(numbers) == 1 else "attempts"
            yield f"{attempt} {english.numbers(numbers)} {_verb(outcome, len(numbers))}"


def _verb(outcome: AttemptOutcome, number: int) -> str:  # noqa: C901, PLR0911  # a table of cases
    was = "was" if number == 1 else "were"
    match outcome:
        case AttemptOutcome.SUCCEEDED:
            return "succeeded"
        case AttemptOutcome.FAILED:
            return "failed"
        case AttemptOutcome.TIMED_OUT:
            return "took longer than the timeout"
        case AttemptOutcome.RETRY:
            return "asked for another one"
        case AttemptOutcome.CANCELLED:
            return f"{was} cancelled"
        case AttemptOutcome.LOST:
            return f"{was} lost"
        case AttemptOutcome.RELEASED:
            return f"{was} released unfinished"
        case AttemptOutcome.CONFLICT:
            return "met a conflict" if number == 1 else "met conflicts"
        case AttemptOutcome.POSTPONED:
            return f"{was} postponed"
        case _:
            assert_never(outcome)
