"""The step budget: the work that a computation of fire times may take. Shared by everything that steps.

The cost of a schedule cannot be computed beforehand: members of `any_of`, exclusions and jitter multiply. So steps are
counted where fire times are computed, and the caller sets the limit. A budget applies to everything that is called
within it; a nested budget is a part of the outer one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

from rota.errors import Fault, Invalid, TooCostly

#: The cost of restarting a schedule at another time, in steps: as much as so many fire times in a row.
LOOK = 20
#: For computations on the event loop or within a write.
AT_ONCE = 5_000
#: For the plan of one registration, in the writer as well.
FOR_A_REGISTRATION = 100_000
#: For one schedule in a request: a preview, an explanation, the response to a registration.
FOR_A_REQUEST = 500_000
#: For the next fire times of one page of tasks, and for that of each of them.
FOR_A_PAGE, FOR_A_TASK = 50_000, 5_000
#: For one plan of the firing pass, and for the replanning of one task: far above what any of them needs.
FOR_A_PLAN = 1_000_000

# What an item adds to the budget of a batch.
_FOR_AN_ITEM = 200


class StepBudget:
    """A number of steps; spending more raises TooCostly."""

    __slots__ = ("left", "steps")

    def __init__(self, steps: float) -> None:
        self.steps = steps
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        """Take steps from what is left; raises TooCostly."""
        self.left -= steps
        if self.left < 0:
            raise TooCostly(
                f"the fire times of the schedule take more than {self.steps:,.0f} steps to find: too many come "
                "together or are left out; give fewer members of any_of, rarer ones, fewer exclusions or less jitter"
            )

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0


_UNLIMITED = StepBudget(inf)
_present: ContextVar[StepBudget] = ContextVar("step_budget", default=_UNLIMITED)


def present_budget() -> StepBudget:
    """Return the budget that applies here; by default an unlimited one."""
    return _present.get()


@contextmanager
def limited_to(steps: float) -> Iterator[StepBudget]:
    """Limit everything within to so many steps in all, and to those left of the outer budget."""
    around = _present.get()
    budget = StepBudget(min(steps, max(around.left, 0)))
    token = _present.set(budget)
    try:
        yield budget
    finally:
        _present.reset(token)
        around.left -= budget.steps - max(budget.left, 0)


def for_a_batch(items: int) -> int:
    """Return the budget of a batch of registrations."""
    return FOR_A_REGISTRATION + _FOR_AN_ITEM * items


def too_costly(error: TooCostly, pointer: str = "/schedule") -> Invalid:
    """Return the error of a request with a schedule that is too costly."""
    return Invalid(f"{pointer}: {error.detail}.", Fault(pointer, error.detail))
