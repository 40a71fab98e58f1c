"""Looking again and again, in a thread: a service that does not answer must not keep keys from being heard."""

from collections.abc import Callable
from http import HTTPStatus
from threading import Event, Thread
from typing import Self

from rota.cli.remote.arguments import local_now
from rota.cli.remote.top.seen import Seen
from rota.cli.remote.top.snapshot import Snapshot
from rota.client import ProblemError, RotaError, Unreachable
from rota.client.retries import may_pass, pause_after


class Watch:
    """What is seen of a service, while it is watched (`with`)."""

    def __init__(self, snapshot: Callable[[], Snapshot], interval: float) -> None:
        """`snapshot` makes the requests, and `interval` is how many seconds pass between one snapshot and the next."""
        self.seen = Seen()
        #: What ends the watching: an error that does not pass.
        self.failure: Exception | None = None
        self._snapshot = snapshot
        self._interval = interval
        self._ended = Event()

    def __enter__(self) -> Self:
        Thread(target=self._watch, name="rota-top", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # It is not waited for: it may be in the middle of a request.
        self._ended.set()

    def _watch(self) -> None:
        try:
            while not self._ended.wait(self._once()):
                pass
        except Exception as error:  # noqa: BLE001  # whoever draws raises it
            self.failure = error

    def _once(self) -> float:
        """Ask once; return the seconds until the next time. Raises what does not pass."""
        before = self.seen.snapshot
        self.seen = Seen(before, self.seen.error, local_now())
        try:
            self.seen = Seen(self._snapshot())
        except RotaError as error:
            if ends(error, is_first=before is None):
                raise
            self.seen = Seen(before, str(error))
            return self._pause(error)
        return self._interval

    def _pause(self, error: RotaError) -> float:
        if isinstance(error, (Unreachable, ProblemError)):
            return max(self._interval, pause_after(error, 1))
        return self._interval


def ends(error: RotaError, *, is_first: bool) -> bool:
    """Return whether an error ends the watching.

    A key that is not accepted does. Another refusal does at first, when address or options may be wrong; later it may
    come from a proxy, while the service is replaced.
    """
    if isinstance(error, ProblemError) and error.status == HTTPStatus.UNAUTHORIZED:
        return True
    return is_first and not (isinstance(error, (Unreachable, ProblemError)) and may_pass(error))
