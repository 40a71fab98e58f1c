"""The benchmarks with tiny counts, so that they keep working; the measurements mean nothing."""

import math
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("huey", reason="only in the bench group of requirements")

from benchmarks import (
    burst,
    firing,
    http_calls,
    kv,
    lateness,
    redis_peer,
    registrations,
    runs,
    workspace,
)
from benchmarks.figures import Line, as_markdown
from benchmarks.kv_http import TITLES
from benchmarks.load import Answered
from benchmarks.peers import redis_server
from benchmarks.scale import benchmark as scale
from benchmarks.scale import data
from tests.support.torture import Part, torture

pytestmark = [pytest.mark.slow]

ANSWERED = Answered(requests=10, per_second=10, p50=1, p99=2, most=3)


def assert_measured(lines: list[Line]) -> None:
    assert lines
    assert all(line.ratio is None or math.isfinite(line.ratio) for line in lines)
    assert as_markdown(lines).count("\n") == len(lines) + 1


@torture(Part.TOOLS)
def test_registrations_are_measured(tmp_path: Path) -> None:
    size = registrations.Size(rounds=1, count=64, seconds=1, warm_up=32)
    assert_measured(registrations.benchmark(tmp_path, size))


@torture(Part.TOOLS)
def test_runs_are_measured(tmp_path: Path) -> None:
    size = runs.Size(rounds=1, rota=50, apscheduler=20, huey=20)
    assert_measured(runs.benchmark(tmp_path, size))


@torture(Part.TOOLS)
def test_firing_is_measured(tmp_path: Path) -> None:
    size = firing.Size(few=20, many=200, due=20, passes=1)
    assert_measured(firing.benchmark(tmp_path, size))


@torture(Part.TOOLS)
def test_a_burst_is_measured(tmp_path: Path) -> None:
    size = burst.Size(registered=200, due=20)
    assert_measured(burst.benchmark(tmp_path, size))


def test_a_burst_that_does_not_end_in_time_is_reported(tmp_path: Path) -> None:
    measured = burst.apscheduler_burst(tmp_path, burst.Size(registered=200, due=100, patience=0.01))
    assert measured.started < 100
    assert measured.last_end is None


@torture(Part.TOOLS)
def test_lateness_is_measured(tmp_path: Path) -> None:
    size = lateness.Size(per_second=20, seconds=1, warm_up=0, idle=200)
    assert_measured(lateness.benchmark(tmp_path, size))


@torture(Part.TOOLS)
def test_the_key_value_table_is_measured(tmp_path: Path) -> None:
    size = kv.Size(rounds=1, seconds=0.2, runs_with_many=5, runs_with_one=20)
    lines = kv.benchmark(tmp_path, size)
    assert_measured(lines)
    assert all(line.peer for line in lines) == (redis_server.executable() is not None)


@torture(Part.TOOLS)
def test_http_runs_are_measured(tmp_path: Path) -> None:
    size = http_calls.Size(rounds=1, rota=20, celery=20)
    lines = http_calls.benchmark(tmp_path, size)
    assert_measured(lines)
    assert all(line.peer for line in lines) == (redis_server.executable() is not None)


@torture(Part.TOOLS)
def test_a_large_database_is_measured(tmp_path: Path) -> None:
    assert_measured(scale.benchmark(tmp_path, data.Size(tasks=20, runs=200, rounds=1)))


def test_http_runs_are_reported_without_redis() -> None:
    of_one, apart = http_calls.Measured(200.0, 8.0), http_calls.Measured(100.0, 1_000.0)
    lines = http_calls.lines({"rota": of_one, "apart": apart})
    assert_measured(lines)
    assert all("no redis-server" in line.what and not line.peer for line in lines)


def test_the_other_benchmarks_run_without_redis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_peer, "executable", lambda: None)
    with redis_peer.redis_peer(tmp_path) as port:
        assert port is None
    lines = list(kv.http_lines({"rota": dict.fromkeys(TITLES, ANSWERED)}))
    assert_measured(lines)
    assert all("no redis-server" in line.what and not line.peer for line in lines)


def test_redis_is_as_durable_as_rota(tmp_path: Path) -> None:
    redis = pytest.importorskip("redis", reason="only in the bench group of requirements")
    if redis_server.executable() is None:
        pytest.skip("there is no redis-server here")
    with (
        workspace.temporary_folder() as short,
        redis_peer.redis_running(tmp_path, short / "redis") as socket,
        closing(redis.Redis(unix_socket_path=str(socket), decode_responses=True)) as client,
    ):
        config = client.config_get("append*")
    assert (config["appendonly"], config["appendfsync"]) == ("yes", "always")


def test_an_aim_is_met_or_not() -> None:
    assert Line(what="rate", rota="", ratio=3, limit=3).met
    assert not Line(what="cost", rota="", ratio=1.4, aim="at most", limit=1.3).met
    assert Line(what="without an aim", rota="", ratio=2).met is None
