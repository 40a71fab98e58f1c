"""Counts the ends of runs, whatever ended them: attempts, cancellations, or a plan that skips fire times.

And notifications that are given up, which are logged as well: nobody has heard of them.
"""

from collections.abc import Sequence

import structlog

from rota.domain.effects import Effect, NotificationGivenUp, RunEnded, SpanExtended
from rota.domain.runs.status import RunStatus, Trigger
from rota.metrics import Metrics

log = structlog.get_logger(__name__)


class EndCounts:
    """A listener of effects: what has been committed is counted, once, by the process that has committed it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def committed(self, effects: Sequence[Effect]) -> None:
        """Count what has ended; called in the writer's thread."""
        for effect in effects:
            if isinstance(effect, RunEnded):
                self._metrics.run_ended(
                    effect.task_id, effect.status, effect.reason, effect.trigger, effect.count
                )
            elif isinstance(effect, SpanExtended):
                self._metrics.run_ended(
                    effect.task_id,
                    RunStatus.SKIPPED,
                    effect.reason,
                    Trigger.SCHEDULE,
                    effect.count,
                )
            elif isinstance(effect, NotificationGivenUp):
                self._metrics.notifications_given_up.inc()
                log.warning(
                    "notification.given_up",
                    task_id=effect.task_id,
                    kind=effect.kind,
                    notifies=effect.notifies,
                )
