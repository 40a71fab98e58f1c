"""`rota db reseal`: everything is encrypted with the first key, and the keys in use are listed."""

from base64 import b64encode

import pytest
from typer.testing import CliRunner

from rota.cli import app
from rota.db.encryption import Keyring
from tests.support.factories import World

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def reseal(monkeypatch: pytest.MonkeyPatch, url: str, **keys: bytes) -> tuple[int, str]:
    value = ",".join(f"{id}:{b64encode(key).decode()}" for id, key in keys.items())
    monkeypatch.setenv("ROTA_DATABASE_URL", url)
    monkeypatch.setenv("ROTA_ENCRYPTION_KEYS", value)
    made = CliRunner().invoke(app, ["db", "reseal"])
    return made.exit_code, made.output


def fill(url: str) -> None:
    world = World(url, keyring=Keyring({"k1": OLD}))
    world.register(secret_input=True, input={"token": "x"})
    world.run_now()
    world.set("a", 1)
    world.set("a", 2)
    world.close()


def test_everything_is_encrypted_with_the_first_key(
    monkeypatch: pytest.MonkeyPatch, migrated_database_url: str
) -> None:
    fill(migrated_database_url)

    first = reseal(monkeypatch, migrated_database_url, k2=NEW, k1=OLD)
    second = reseal(monkeypatch, migrated_database_url, k2=NEW)

    assert first == (0, "Encrypted anew: 4. Keys in use: k2.\n")
    assert second == (0, "Encrypted anew: 0. Keys in use: k2.\n")


def test_a_key_that_only_inputs_need_is_listed(
    monkeypatch: pytest.MonkeyPatch, migrated_database_url: str
) -> None:
    world = World(migrated_database_url, keyring=Keyring({"k1": OLD}))
    world.register(secret_input=True, input={"token": "x"})
    world.close()

    result = reseal(monkeypatch, migrated_database_url, k2=NEW)

    assert result == (0, "Encrypted anew: 0. Keys in use: k1.\n")


def test_a_missing_key_is_named(
    monkeypatch: pytest.MonkeyPatch, migrated_database_url: str
) -> None:
    fill(migrated_database_url)

    code, output = reseal(monkeypatch, migrated_database_url, k2=NEW)

    assert code == 2
    assert "'k1'" in output
    assert "ROTA_ENCRYPTION_KEYS" in output
