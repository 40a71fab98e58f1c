"""Tests of handlers: they run by their schedules, on a fake clock, a month in a second.

    from rota.testing import Driver

    def test_digest() -> None:
        driver = Driver(now="2026-03-01T00:00:00Z")
        daily = {"type": "cron", "expression": "0 9 * * *"}
        driver.register("digest", handler=digest, schedule=daily, kv={"cursor": 0})

        driver.advance("30d")

        assert len(driver.runs("digest")) == 30
        assert driver.kv("digest")["cursor"] == 30

Planning, retries, overlap, kv and registrations are the service's own code, on a database in memory.
"""

from rota.testing.driver import Driver
from rota.testing.run_view import RunFailed, RunView

__all__ = ["Driver", "RunFailed", "RunView"]
