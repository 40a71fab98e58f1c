"""Overlap: whether a new run starts beside, behind or instead of the unfinished runs of its task. Pure."""

from collections.abc import Sequence
from typing import NamedTuple, assert_never

from rota.domain.policies import MOST_BUFFERED, OverlapPolicy
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason, SkipReason
from rota.domain.runs.status import RunStatus


class Line(NamedTuple):
    """The unfinished runs of a task that occupy it."""

    #: The last one, which the next run waits for.
    last: Id | None = None
    #: How many wait behind another one.
    waiting: int = 0
    #: One that was not requested to end; those that were are waited for, whatever the policy.
    busy: Id | None = None


class Place(NamedTuple):
    """The status in which a new run begins, and the run that a blocked one waits for."""

    status: RunStatus
    reason: SkipReason | CancelReason | None = None
    behind: Id | None = None


class Admitted(NamedTuple):
    """The places of new runs, in their order, and the line with them.

    `replaces`: the runs in the line are to be cancelled, and the last new run waits for those that are running.
    """

    places: Sequence[Place]
    line: Line
    replaces: bool = False


_QUEUED = Place(RunStatus.QUEUED)
_SKIPPED = Place(RunStatus.SKIPPED, SkipReason.OVERLAP)
_REPLACED = Place(RunStatus.CANCELLED, CancelReason.REPLACED)


def admit(policy: OverlapPolicy, line: Line, new: Sequence[Id]) -> Admitted:
    """Return the places of new runs of a task.

    Several at once are caught up after an outage: with the policy `skip` they run one after the other.
    """
    if not new:
        return Admitted((), line)
    match policy:
        case OverlapPolicy.ALLOW:
            return Admitted([_QUEUED] * len(new), line)
        case OverlapPolicy.SKIP if len(new) == 1 and skipped_for(policy, line) is not None:
            return Admitted((_SKIPPED,), line)
        case OverlapPolicy.SKIP | OverlapPolicy.BUFFER:
            return _in_line(line, new)
        case OverlapPolicy.REPLACE:
            places = [*[_REPLACED] * (len(new) - 1), _QUEUED]
            return Admitted(places, line, replaces=line.last is not None)
        case _:
            assert_never(policy)


def skipped_for(policy: OverlapPolicy, line: Line) -> Id | None:
    """Return the run in the line because of which a single new one is skipped; None: it is not skipped."""
    match policy:
        case OverlapPolicy.SKIP:
            return line.busy
        case OverlapPolicy.BUFFER | OverlapPolicy.ALLOW | OverlapPolicy.REPLACE:
            return None
        case _:
            assert_never(policy)


def has_line(policy: OverlapPolicy) -> bool:
    """Return whether unfinished runs of the task matter to its next run. If not, nobody needs to read them."""
    match policy:
        case OverlapPolicy.SKIP | OverlapPolicy.BUFFER | OverlapPolicy.REPLACE:
            return True
        case OverlapPolicy.ALLOW:
            return False
        case _:
            assert_never(policy)


def replaces_line(policy: OverlapPolicy) -> bool:
    """Return whether the last of several new runs replaces all others, so that they are placed together."""
    match policy:
        case OverlapPolicy.REPLACE:
            return True
        case OverlapPolicy.SKIP | OverlapPolicy.BUFFER | OverlapPolicy.ALLOW:
            return False
        case _:
            assert_never(policy)


def may_wait(policy: OverlapPolicy) -> bool:
    """Return whether a run that fires on time may wait for an earlier one of its task."""
    match policy:
        case OverlapPolicy.BUFFER | OverlapPolicy.REPLACE:
            return True
        case OverlapPolicy.SKIP | OverlapPolicy.ALLOW:
            return False
        case _:
            assert_never(policy)


def behind(run_id: Id) -> Place:
    """Return the place of a run that waits for another one."""
    return Place(RunStatus.BLOCKED, behind=run_id)


def _in_line(line: Line, new: Sequence[Id]) -> Admitted:
    last, waiting, busy = line
    places: list[Place] = []
    for id in new:
        busy = busy or id
        if last is None:
            places.append(_QUEUED)
            last = id
        elif waiting >= MOST_BUFFERED:
            places.append(_SKIPPED)
        else:
            places.append(behind(last))
            last, waiting = id, waiting + 1
    return Admitted(places, Line(last, waiting, busy))
