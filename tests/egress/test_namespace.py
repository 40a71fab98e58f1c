"""In a network namespace of its own, in which every address is reached, no packet goes to one that is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_ALONE = ("unshare", "--map-root-user", "--net")


def can_be_alone() -> bool:
    """Return whether this machine gives a process a network of its own: some allow that to root only."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*_ALONE, "true"], check=False, capture_output=True).returncode == 0


def test_no_packet_goes_to_an_address_that_is_refused_in_any_spelling() -> None:
    if not can_be_alone():
        pytest.skip("needs util-linux, iproute2 and user namespaces")

    program = [*_ALONE, sys.executable, "-m", "tests.egress.namespace"]
    done = subprocess.run(
        program, cwd=_ROOT, check=False, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["control"] > 0
    assert found["hosts"] > 150
    assert found["packets"] == 0
