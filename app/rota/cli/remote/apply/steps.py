"""What applying does to each task: the steps of a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from rota.cli.exits import ExitCode
from rota.cli.remote.apply.wanted import WantedTask


class Kind(StrEnum):
    """What a plan does to a task."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    PRUNED = "pruned"
    #: The service, or the owner of the task, does not allow it.
    REFUSED = "refused"


#: The kinds that make a request.
DIFFERENCES = frozenset([Kind.CREATED, Kind.CHANGED, Kind.PRUNED])


@dataclass(frozen=True)
class Step:
    """What a plan does to one task. `etag` is of the version that was compared; `fire_times` is of a dry run.

    `vanishing` has the next fire times of a task that is pruned. `problem` says why it is refused, `code` how the
    command ends then.
    """

    kind: Kind
    name: str
    wanted: WantedTask | None = None
    etag: str | None = None
    changes: Sequence[Mapping[str, Any]] = ()
    changes_omitted: int = 0
    fire_times: Mapping[str, Any] | None = None
    warnings: Sequence[Mapping[str, Any]] = ()
    problem: str | None = None
    code: ExitCode | None = None
    takes_over: bool = False
    vanishing: Sequence[str] = ()

    def replace(self, **fields: Any) -> "Step":
        """Return this step with other fields."""
        return replace(self, **fields)


@dataclass(frozen=True)
class Plan:
    """The steps, in the order of the files; those that prune come last."""

    steps: Sequence[Step] = field(default_factory=tuple)

    def of(self, *kinds: Kind) -> list[Step]:
        """Return the steps of these kinds."""
        return [each for each in self.steps if each.kind in kinds]

    @property
    def differences(self) -> list[Step]:
        """Return the steps that make a request."""
        return self.of(*DIFFERENCES)

    def counts(self) -> dict[str, int]:
        """Return how many steps of each kind there are."""
        return {kind.value: len(self.of(kind)) for kind in Kind}
