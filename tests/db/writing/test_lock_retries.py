"""The writer on PostgreSQL: locks of other transactions, and connections that are lost."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rota.db.writing import lock_retries
from rota.domain.effects import RunsReady
from rota.errors import Locked, Unavailable
from tests.db.commands import Count, Put, PutTogether, Statement, description, names_in, row_of
from tests.support.factories import (
    DEADLINE,
    Hold,
    World,
    eventually,
    foreign_lock,
    together,
)
from tests.support.postgres import PostgresServer

postgres_only = [
    pytest.mark.postgres,
    pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True),
]


class TestOnPostgresql:
    pytestmark = postgres_only

    @pytest.mark.parametrize("code", ["40001", "40P01"])
    def test_a_transaction_that_failed_to_serialize_is_repeated(
        self, world: World, code: str
    ) -> None:
        lost = Statement(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE='{code}'; END $$", times=2)

        answers = together(world.writer, [Put("a"), lost, PutTogether("b")])

        assert [answer.exception() for answer in answers] == [None] * 3
        assert names_in(world) == {"a", "b"}
        assert sorted(world.effects, key=repr) == [RunsReady("a"), RunsReady("b")]

    def test_a_transaction_that_always_fails_to_serialize_is_given_up(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lock_retries, "TIMEOUT", 0.2)
        lost = Statement("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE='40001'; END $$")

        with pytest.raises(Locked, match="was not stored"):
            world.do(lost)

        assert 3 <= 1_000 - lost.left < 10

    def test_a_command_that_always_fails_to_serialize_does_not_fail_the_others(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lock_retries, "TIMEOUT", 0.2)
        lost = Statement("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE='40P01'; END $$")

        first, loser, last = together(world.writer, [Put("a"), lost, PutTogether("b")])

        assert (first.result(), last.result()) == ("put a", "put b of 1")
        assert isinstance(loser.exception(), Locked)

    @pytest.mark.parametrize("code", ["57014", "53200", "XX000"])
    def test_an_error_that_concerns_one_command_does_not_fail_the_others(
        self, world: World, code: str
    ) -> None:
        """A statement timeout, a lack of memory, an internal error of the server."""
        broken = Statement(f"DO $$ BEGIN RAISE 'so it is' USING ERRCODE='{code}'; END $$")

        first, refused, last = together(world.writer, [Put("a"), broken, PutTogether("b")])

        assert (first.result(), last.result()) == ("put a", "put b of 1")
        assert type(refused.exception()) is Unavailable
        assert "so it is" in str(refused.exception())
        assert "was not stored" in str(refused.exception())

    def test_a_lock_of_another_transaction_delays_only_commands_that_need_the_row(
        self, world: World
    ) -> None:
        world.do(Put("locked"))
        world.do(Put("free"))
        began = time.monotonic()

        with foreign_lock(world, row_of("locked")) as release, ThreadPoolExecutor() as threads:
            waits = [threads.submit(world.do, Count("locked", kind)) for kind in ("", "again")]
            done = [
                world.do(Count("free")),
                *(each.result() for each in together(world.writer, [Put("a"), Count("free")])),
            ]
            took = time.monotonic() - began
            still_wait = [not each.done() for each in waits]
            release()
            assert [each.result(DEADLINE) for each in waits] == ["counted"] * 2

        assert done == ["counted", "put a", "counted"]
        assert took < lock_retries.TIMEOUT / 2
        assert still_wait == [True, True]
        assert (description(world, "locked"), description(world, "free")) == ("xx", "xx")

    def test_only_the_command_of_a_group_that_meets_a_lock_is_retried_later(
        self, world: World
    ) -> None:
        world.do(Put("locked"))
        neighbours = [PutTogether("a"), Put("b"), PutTogether("c")]
        with foreign_lock(world, row_of("locked")) as release, ThreadPoolExecutor() as threads:
            hold = Hold()
            threads.submit(world.do, hold)
            assert hold.begun.wait(DEADLINE)
            waiting = threads.submit(world.do, Count("locked"))
            eventually(lambda: len(world.writer._queue) == 1)
            answers = threads.submit(world.writer.call_all, neighbours)
            eventually(lambda: len(world.writer._queue) == 4)
            hold.released.set()

            kept = [answer.exception() for answer in answers.result(DEADLINE)]
            names = names_in(world)
            waits = not waiting.done()
            release()

            assert waiting.result(DEADLINE) == "counted"
        assert (kept, names, waits) == ([None] * 3, {"a", "b", "c", "locked"}, True)
        assert description(world, "locked") == "x"

    def test_a_command_that_needs_a_row_that_stays_locked_is_refused(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lock_retries, "TIMEOUT", 0.2)
        world.do(Put("locked"))

        with (
            foreign_lock(world, row_of("locked")),
            pytest.raises(Locked, match=r"locked by another transaction .* was not stored"),
        ):
            world.do(Count("locked"))

        assert description(world, "locked") == ""

    def test_an_impatient_command_is_refused_at_once(self, world: World) -> None:
        class Impatient(Count):
            patient = False

        world.do(Put("locked"))
        with foreign_lock(world, row_of("locked")):
            alone, in_a_group = Impatient("locked"), [Put("a"), Impatient("locked")]
            with pytest.raises(Locked):
                world.do(alone)
            put, refused = together(world.writer, in_a_group)

        assert put.result() == "put a"
        assert isinstance(refused.exception(), Locked)
        assert description(world, "locked") == ""

    def test_a_stop_does_not_wait_for_a_lock(self, world: World) -> None:
        world.do(Put("locked"))

        with foreign_lock(world, row_of("locked")), ThreadPoolExecutor() as threads:
            waiting = threads.submit(world.do, Count("locked"))
            eventually(lambda: len(world.writer._retries) > 0)
            world.writer.stop()

            assert isinstance(waiting.exception(DEADLINE), Locked)
        assert description(world, "locked") == ""

    def test_a_lost_connection_is_replaced(
        self, world: World, postgres_server: PostgresServer
    ) -> None:
        world.do(Put("a"))

        postgres_server.restart()

        assert world.do(Put("b")) == "put b"
        assert names_in(world) == {"a", "b"}
        assert world.effects == [RunsReady("a"), RunsReady("b")]

    def test_a_server_that_is_down_is_unavailable_until_it_is_back(
        self, world: World, postgres_server: PostgresServer
    ) -> None:
        postgres_server.stop()
        try:
            with pytest.raises(Unavailable):
                world.do(Put("a"))
            with pytest.raises(Unavailable):
                names_in(world)
        finally:
            postgres_server.start()

        assert world.do(Put("b")) == "put b"
        assert names_in(world) == {"b"}

    def test_a_connection_that_is_killed_during_a_group_loses_nothing(self, world: World) -> None:
        suicide = Statement("SELECT pg_terminate_backend(pg_backend_pid())", times=1)

        answers = together(world.writer, [Put("a"), suicide, Put("b")])

        assert [answer.exception() for answer in answers] == [None] * 3
        assert names_in(world) == {"a", "b"}
