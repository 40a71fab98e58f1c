"""A promise is kept by a guard only if the suite fails without it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.guards import EVERY, GUARDS

ROOT = Path(__file__).parents[2]


def test_the_suite_notices_every_guard_that_is_removed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.guards"],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")},
        capture_output=True,
        check=False,
        text=True,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    went = json.loads(done.stdout)
    assert went.pop("") == dict.fromkeys(EVERY, "passed")
    assert went == {name: dict.fromkeys(guard.tests, "failed") for name, guard in GUARDS.items()}
