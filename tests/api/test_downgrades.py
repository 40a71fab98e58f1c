"""Values in plain where all are encrypted: unreadable, as damaged ones are, and nothing else is."""

from sqlalchemy import update

from rota.db import tables
from rota.engine.key_rotation import Resealing
from tests.api.http.test_large_rows import database
from tests.api.marks import on_both
from tests.api.service import problem, serving
from tests.api.test_encryption import OLD, SECRET, secret


@on_both
def test_a_value_in_plain_is_unreadable_once_all_are_encrypted(migrated_database_url: str) -> None:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        api.task("t")
        api.put("/v1/tasks/t/kv/a", json={"value": SECRET})
        api.put("/v1/tasks/t/kv/b", json={"value": 1})
        services = api.app.state.services
        settled = Resealing(services.database, services.writer.call).settle()
        with database(migrated_database_url) as connection:
            planted = update(tables.kv).where(tables.kv.c.key == "a")
            connection.execute(planted.values(value=b"666", sealed_with=None))

        problem(api.get("/v1/tasks/t/kv/a"), 503, "sealed")
        listed = {item["key"]: item for item in api.items("/v1/tasks/t/kv")}
        assert settled == 0
        assert (listed["a"]["value"], listed["a"]["unreadable"]) == (None, ["value"])
        assert listed["b"]["value"] == 1
        assert b"666" not in api.get("/v1/tasks/t/kv/export").content
        assert api.put("/v1/tasks/t/kv/a", json={"value": 2}).status_code == 200
        assert api.read("/v1/tasks/t/kv/a")["value"] == 2


@on_both
def test_a_secret_input_in_plain_is_unreadable_and_fails_its_run(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        secret(api, input={"token": SECRET}, retry={"max_attempts": 1})
        with database(migrated_database_url) as connection:
            connection.execute(update(tables.task).values(input='{"token":"planted"}'))

        shown = api.read("/v1/tasks/s")
        ended = api.ended(api.run("s"))

        assert (shown["input"], shown["unreadable"]) == (None, ["input"])
        assert (ended["status"], ended["error"]["type"]) == ("failed", "sealed")
        assert "not encrypted" in ended["error"]["message"]
        problem(api.patch("/v1/tasks/s", json={"priority": 1}), 503, "sealed")
        assert api.patch("/v1/tasks/s", json={"input": {"token": 1}}).status_code == 200
        assert api.ended(api.run("s"))["result"] == {"token": 1}
