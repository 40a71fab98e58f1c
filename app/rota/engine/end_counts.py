"""Counts the ends of runs, whatever ended them: attempts, cancellations, or a plan that skips fire times."""

from collections.abc import Sequence

from rota.domain.effects import Effect, RunEnded, SpanExtended
from rota.domain.runs.status import RunStatus
from rota.metrics import Metrics


class EndCounts:
    """A listener of effects: what has been committed is counted, once, by the process that has committed it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def committed(self, effects: Sequence[Effect]) -> None:
        """Count the runs that have ended; called in the writer's thread."""
        for effect in effects:
            if isinstance(effect, RunEnded):
                self._metrics.run_ended(effect.task_id, effect.status, effect.reason, effect.count)
            elif isinstance(effect, SpanExtended):
                self._metrics.run_ended(
                    effect.task_id, RunStatus.SKIPPED, effect.reason, effect.count
                )
