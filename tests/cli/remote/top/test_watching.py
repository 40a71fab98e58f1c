"""What ends the watching of a service, and what only passes."""

import pytest

from rota.cli.remote.top.snapshot import Snapshot
from rota.cli.remote.top.watching import Watch, ends
from rota.client import RotaError, Unreachable
from rota.client.errors import InvalidResponse
from rota.client.problems import Forbidden, NotFound, RateLimited, Unauthorized, Unavailable
from tests.cli.remote.top.documents import snapshot
from tests.support.factories import eventually


@pytest.mark.parametrize(
    ("error", "at_first", "later"),
    [
        (Unreachable("refused"), False, False),
        (Unavailable(503, {}), False, False),
        (RateLimited(429, {}, 1.0), False, False),
        (Unauthorized(401, {}), True, True),
        (Forbidden(403, {}), True, False),
        (NotFound(404, {}), True, False),
        (InvalidResponse("no Rota"), True, False),
    ],
)
def test_what_does_not_pass_ends_the_watching(
    error: RotaError, at_first: bool, later: bool
) -> None:
    assert ends(error, is_first=True) is at_first
    assert ends(error, is_first=False) is later


def test_an_outage_is_seen_beside_the_last_look_until_it_is_over() -> None:
    outcomes: list[Snapshot | Exception] = [
        snapshot(),
        Unreachable("refused"),
        snapshot(),
        KeyError("x"),
    ]
    seen = []

    def next_outcome() -> Snapshot:
        seen.append(watch.seen)
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    first, _, third, mistake = outcomes
    watch = Watch(next_outcome, 0.001)
    with watch:
        eventually(lambda: watch.failure is not None, "the watching does not end", 30)

    assert [(each.snapshot, each.error) for each in seen] == [
        (None, None),
        (first, None),
        (first, "refused"),
        (third, None),
    ]
    assert all(each.asked_at is not None for each in seen)
    assert watch.failure is mistake


def test_watching_ends_with_the_block() -> None:
    looks = []

    def count() -> Snapshot:
        looks.append(1)
        return snapshot()

    with Watch(count, 3_600) as watch:
        eventually(lambda: watch.seen.snapshot is not None, "nothing is seen", 30)

    assert watch.failure is None
    assert looks == [1]
