"""The stored keys in the memory of a process: no request reads or writes for its authentication."""

import asyncio
from typing import Any, NoReturn

import pytest

from rota.errors import Unavailable
from rota.store.access.changes import NoteUses
from tests.api.keys.clients import asked, made
from tests.api.service import Api
from tests.support.factories import eventually


def test_a_request_reads_nothing_for_its_authentication(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = made(api, "tasks:read")["key"]
    read: list[Any] = []
    monkeypatch.setattr(
        "rota.api.http.clients.stored_keys.keys_if_changed", lambda *_: read.append(1)
    )

    for _ in range(20):
        assert asked(api, key).status_code == 200

    assert read == []


def test_the_use_of_a_key_is_stored_once_a_minute_at_most(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[Any] = []

    def note(used: Any) -> NoteUses:
        stored.append(used)
        return NoteUses(used)

    monkeypatch.setattr("rota.api.http.clients.stored_keys.NoteUses", note)
    key = made(api, "tasks:read")

    asked(api, key["key"])
    eventually(lambda: api.read(f"/v1/keys/{key['id']}")["last_used_at"])
    for _ in range(3):
        asked(api, key["key"])
        api.portal.call(asyncio.sleep, 0.6)

    assert len([used for used in stored if key["id"] in used]) == 1


def test_while_the_database_does_not_answer_the_keys_stay_as_they_were(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = api.app.state.services.keys
    key = made(api, "tasks:read")["key"]

    def fail(*_: Any) -> NoReturn:
        raise Unavailable("The database does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(keys, "_is_shared", True)
        patch.setattr("rota.api.http.clients.stored_keys._FRESH", 0.0)
        patch.setattr("rota.api.http.clients.stored_keys.keys_if_changed", fail)
        assert [asked(api, key).status_code for _ in range(3)] == [200] * 3
        assert keys._failing
        problem_of_another = asked(api, key[:-1])
        assert problem_of_another.status_code == 401

    eventually(lambda: not keys._failing)
    assert asked(api, key).status_code == 200


def test_a_private_badge_is_not_shown_for_a_key_that_was_revoked_elsewhere(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A badge may need no key; who is shown a private one has one that is accepted now, as on any other path."""
    keys, key = api.app.state.services.keys, made(api, "runs:read")
    api.task("shown")

    async def learns_nothing() -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr(keys, "changed", learns_nothing)
        api.delete(f"/v1/keys/{key['id']}")
        patch.setattr(keys, "_is_shared", True)
        patch.setattr("rota.api.http.clients.stored_keys._FRESH", 0.0)
        assert asked(api, key["key"], "/v1/tasks/shown/badge.svg").status_code == 401
