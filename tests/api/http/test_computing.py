"""The slots of what is expensive to compute."""

import asyncio
import threading

import pytest

from rota.api.http.computing import Computing
from rota.errors import Unavailable
from tests.support.factories import DEADLINE


def test_checks_for_requests_take_slots_and_those_of_other_loops_do_not() -> None:
    done: list[str] = []
    go_on = threading.Event()

    async def main() -> None:
        compute = Computing(slots=1, patience=0.05).for_requests()
        first = asyncio.ensure_future(compute(lambda: done.append(str(go_on.wait(DEADLINE)))))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="checks of large values"):
            await compute(lambda: done.append("refused"))

        async def elsewhere() -> None:
            await compute(lambda: done.append("another loop's"))

        await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        go_on.set()
        await first
        await compute(lambda: done.append("the next one"))

    asyncio.run(main())

    assert done == ["another loop's", "True", "the next one"]
