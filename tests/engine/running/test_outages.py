"""A host that is down, and the tasks that call it: a whole process without its HTTP, and a real server."""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import update

from rota.db import tables
from rota.domain.http_target.phases import CallPhase
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import RunStatus
from rota.handlers.http.handler import HTTP
from tests.engine.service import Service
from tests.handlers.target import deaf, serving, unserved
from tests.support.factories import eventually

TASKS = 12


def test_an_outage_uses_only_the_attempts_before_the_circuit_opened_and_all_runs_succeed_after_it(
    serve: Callable[..., Service],
) -> None:
    with unserved() as down:
        service = serve(HTTP, http_circuit_failures=3, http_circuit_longest=1)
        port = down.getsockname()[1]
        target = {"url": f"http://127.0.0.1:{port}/x"}
        # Four: the three failures that open the circuit may be of one run.
        retry = {"max_attempts": 4, "initial_interval": 0.2}
        for number in range(TASKS):
            service.register(
                f"t{number}",
                handler="http",
                schedule={"type": "manual"},
                target=target,
                retry=retry,
                # One after the other, so that none begins while the circuit is about to open.
                concurrency={"key": "one", "limit": 1},
            )
        runs = [service.run_now(f"t{number}").id for number in range(TASKS)]

        def wait() -> bool:
            found = [service.run(id) for id in runs]
            circuit = (f"circuit:127.0.0.1:{port}",)
            assert {run.waiting_on for run in found} <= {circuit, ("concurrency",), ()}
            return sum(run.waiting_on == circuit and run.attempt > 1 for run in found) >= TASKS // 2

        eventually(wait, "the runs do not wait for the circuit")
        assert service.metrics.registry.get_sample_value("rota_http_open_circuits") == 1
        assert sum(service.run(id).failures for id in runs) == 3
        with serving(down) as site:
            ended = [service.ended(id) for id in runs]
            assert len(site.received) == TASKS
    assert {run.status for run in ended} == {RunStatus.SUCCEEDED}
    assert sum(run.failures for run in ended) == 3
    assert all(len(service.attempts(run.id)) == run.failures + 1 for run in ended)
    # About one claim in each open time.
    assert max(run.attempt for run in ended) < 40


def test_runs_that_were_postponed_for_long_start_when_the_circuit_is_closed(
    serve: Callable[..., Service],
) -> None:
    with unserved() as down:
        service = serve(HTTP, http_circuit_failures=1, http_circuit_longest=1)
        target = {"url": f"http://127.0.0.1:{down.getsockname()[1]}/x"}
        for name in ("breaks", "waits", "probes"):
            service.register(
                name,
                handler="http",
                schedule={"type": "manual"},
                target=target,
                retry={"max_attempts": 1},
            )
        service.ended(service.run_now("breaks").id)
        waits = service.run_now("waits").id
        eventually(lambda: service.run(waits).waiting_on, "the run does not wait")
        with service.database.writing.begin() as connection:
            later = service.clock.now() + timedelta(seconds=110)
            connection.execute(
                update(tables.run).where(tables.run.c.id == waits).values(not_before=later)
            )
        with serving(down):
            service.ended(service.run_now("probes").id)

            assert service.ended(waits).status is RunStatus.SUCCEEDED


def test_a_call_that_the_timeout_of_the_task_ends_counts_for_its_host(
    serve: Callable[..., Service],
) -> None:
    with deaf() as host:
        service = serve(HTTP, http_circuit_failures=1, http_circuit_longest=1)
        port = host.getsockname()[1]
        service.register(
            handler="http",
            schedule={"type": "manual"},
            target={"url": f"http://127.0.0.1:{port}/x"},
            timeout=0.5,
            retry={"max_attempts": 2, "initial_interval": 0.05},
        )
        run = service.run_now().id

        def is_probed() -> bool:
            found = service.run(run)
            assert found.failures <= 1, "a probe was counted"
            return found.attempt > 2 and found.waiting_on == (f"circuit:127.0.0.1:{port}",)

        eventually(is_probed, "the circuit does not open")

        (attempt,) = service.attempts(run)
        assert (attempt.outcome, attempt.counted) == (AttemptOutcome.TIMED_OUT, True)
        assert attempt.error is not None
        assert attempt.error.type == "http.timeout"
        assert attempt.error.message == "no complete response from 127.0.0.1 within 0.5 s"
        assert attempt.error.phase is CallPhase.CONNECT
        assert set(attempt.error.timings or ()) == {"dns", "connect"}
