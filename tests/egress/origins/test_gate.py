"""The gate: limits and circuits by origin, bounded in memory; what an outage costs the runs that wait for its end."""

import heapq
import logging
from collections import Counter

import pytest
import structlog
from structlog.testing import LogCapture

from rota.egress.origins import gate as origin_gate
from rota.egress.origins.circuit_breaker import CircuitRules, Verdict
from rota.egress.origins.gate import GateRules, Obstacle, OriginGate, Permit, Refusal
from rota.egress.origins.limits import LimitRules
from rota.metrics import Metrics

A, B = "https://a.example", "https://b.example"


def entered(gate: OriginGate, origin: str = A, now: float = 0.0) -> Permit:
    permit = gate.enter(origin, now, now + 30)
    assert isinstance(permit, Permit)
    return permit


def refused(gate: OriginGate, origin: str = A, now: float = 0.0) -> Refusal:
    refusal = gate.enter(origin, now, now + 30)
    assert isinstance(refusal, Refusal)
    return refusal


def opened(gate: OriginGate, origin: str = A, now: float = 0.0) -> None:
    for _ in range(5):
        assert gate.leave(entered(gate, origin, now), Verdict.DOWN, now) is None


def test_an_origin_that_is_down_is_refused_and_others_are_not() -> None:
    gate = OriginGate()
    opened(gate)

    assert refused(gate).by is Obstacle.CIRCUIT
    entered(gate, B)
    assert gate.open_circuits() == 1


def test_it_says_when_a_circuit_was_closed_and_lets_others_pass_meanwhile() -> None:
    closed: list[str] = []

    def note(origin: str) -> None:
        closed.append(origin)
        entered(gate, B, now)

    gate = OriginGate(on_closed=note)
    opened(gate)
    now = refused(gate).wait
    gate.leave(entered(gate, A, now), Verdict.UP, now)
    gate.leave(entered(gate, A, now), Verdict.UP, now)

    assert closed == [A]


def test_a_full_origin_is_refused_and_others_are_not() -> None:
    gate = OriginGate(GateRules(limits=LimitRules(1)))
    permit = entered(gate)

    assert refused(gate).by is Obstacle.HOST
    entered(gate, B)
    gate.leave(permit, Verdict.UP, 1)
    entered(gate, A, 1)


def test_a_pause_that_one_call_is_asked_for_is_kept_by_the_others() -> None:
    gate = OriginGate()
    gate.leave(entered(gate), Verdict.UP, 0, hold=20)

    refusal = refused(gate)
    assert refusal.by is Obstacle.HOST
    assert 20 <= refusal.wait < 21
    entered(gate, A, 20)


def test_only_a_probe_that_failed_is_to_be_tried_again() -> None:
    gate = OriginGate()
    opened(gate)
    now = refused(gate).wait
    probe = entered(gate, A, now)

    assert refused(gate, A, now).by is Obstacle.CIRCUIT
    again = gate.leave(probe, Verdict.DOWN, now)
    assert again is not None
    assert again.by is Obstacle.CIRCUIT
    # It is the next probe.
    assert entered(gate, A, now + again.wait).is_probe


def test_a_full_origin_keeps_no_place_for_a_probe_that_cannot_begin() -> None:
    gate = OriginGate(GateRules(limits=LimitRules(5)))
    hanging = [entered(gate) for _ in range(5)]
    for permit in hanging[:4]:
        gate.leave(permit, Verdict.DOWN, 0)
    gate.leave(entered(gate), Verdict.DOWN, 0, hold=20)
    now = refused(gate).wait

    assert refused(gate, A, now).by is Obstacle.HOST
    assert entered(gate, A, 20).is_probe


def test_opening_and_closing_are_logged_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    captured = LogCapture()
    level = structlog.make_filtering_bound_logger(logging.INFO)
    logger = structlog.wrap_logger(None, processors=[captured], wrapper_class=level)
    monkeypatch.setattr(origin_gate, "log", logger)
    metrics = Metrics()
    gate = OriginGate(metrics=metrics)

    opened(gate)
    assert b"rota_http_open_circuits 1.0" in metrics.render()
    now = refused(gate).wait
    gate.leave(entered(gate, A, now), Verdict.UP, now)

    assert b"rota_http_open_circuits 0.0" in metrics.render()
    assert b"rota_http_circuits_opened_total 1.0" in metrics.render()
    assert [(each["event"], each["origin"]) for each in captured.entries] == [
        ("http.circuit_opened", A),
        ("http.circuit_closed", A),
    ]


def test_the_origins_that_were_not_used_for_longest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(origin_gate, "MOST_ORIGINS", 3)
    gate = OriginGate()
    opened(gate, A)
    busy = entered(gate, B)

    for number in range(10):
        gate.leave(entered(gate, f"https://{number}.example"), Verdict.UP, 0)

    assert gate.number_of_origins == 3
    assert gate.open_circuits() == 0
    gate.leave(busy, Verdict.UP, 1)
    entered(gate, A)


def test_an_outage_costs_each_of_500_runs_a_claim_a_minute_and_all_are_done_soon_after_it() -> None:
    """An hour, in which the host is down; a failed call takes 3 s, a successful one 0.1 s."""
    gate = OriginGate(GateRules(CircuitRules(5, 5.0, 60.0), LimitRules(64)))
    opened(gate)
    back = 3_600.0
    claims: Counter[int] = Counter()
    a_second: Counter[int] = Counter()
    done: list[float] = []
    calls = 0
    events: list[tuple[float, int, Permit | None]] = [
        (run / 1_000, run, None) for run in range(500)
    ]
    while events:
        now, run, permit = heapq.heappop(events)
        if permit is not None and now >= back:
            gate.leave(permit, Verdict.UP, now)
            done.append(now)
            continue
        if permit is None:
            claims[run] += 1
            a_second[int(now)] += 1
            found = gate.enter(A, now, now + 30)
            if isinstance(found, Permit):
                calls += now < back
                heapq.heappush(events, (now + (3.0 if now < back else 0.1), run, found))
                continue
        else:
            failed = gate.leave(permit, Verdict.DOWN, now)
            assert failed is not None
            found = failed
        heapq.heappush(events, (now + found.wait, run, None))

    assert len(done) == 500
    assert max(claims.values()) < 75
    assert calls < 75
    assert max(a_second[second] for second in a_second if 1 < second < back) <= 100
    assert done[0] < back + 63
    assert done[-1] < back + 130
