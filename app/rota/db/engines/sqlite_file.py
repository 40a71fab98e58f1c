"""The file of an SQLite database: a lock against other processes, and whether the file was replaced."""

import fcntl
import os
from pathlib import Path

from sqlalchemy.engine import URL

from rota.errors import InUse, Invalid


class FileLock:
    """Held as long as a process uses an SQLite file.

    Two kernel locks (`flock`): on a file beside it, by the path without symbolic links, and on the file itself, which
    a hard link or the removal of the lock file does not circumvent. SQLite's own locks are of another kind (`fcntl`)
    and independent of these; but closing any descriptor of a file releases all `fcntl` locks of the process, so
    `release` is called after the last connection is closed.
    """

    def __init__(self, url: URL) -> None:
        """Lock the file. Raises Invalid for a path that cannot be used, InUse if another process uses it."""
        self._name = str(url.database)
        # With its symbolic links: a link that points elsewhere later is detected as another file.
        self._path = Path(_path_of(url)).absolute()
        self._descriptors: list[int] = []
        try:
            real = self._path.resolve()
            self._check_folder(real.parent)
            self._lock(Path(f"{real}-lock"), os.O_RDWR, 0o600, "which locks the database")
            # It holds data of clients; the files that SQLite creates beside it get the same mode.
            self._lock(real, os.O_RDONLY, 0o600, "which holds the database")
        except BaseException:
            self.release()
            raise
        self._locked = _identity(os.fstat(self._descriptors[-1]))

    def trouble(self) -> str | None:
        """Return what is wrong if the file at the path is not the one that was locked, otherwise None."""
        try:
            present = _identity(self._path.stat())
        except OSError as error:
            return f"the file {self._name} was removed or cannot be reached: {error.strerror}"
        if present != self._locked:
            return f"the file {self._name} was replaced by another one; restart the service"
        return None

    def release(self) -> None:
        """Release the locks."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _check_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            raise Invalid(f"The folder {str(folder)!r} for the SQLite file does not exist.")

    def _lock(self, path: Path, access: int, mode: int, purpose: str) -> None:
        try:
            descriptor = os.open(path, access | os.O_CREAT | os.O_CLOEXEC, mode)
        except OSError as error:
            raise Invalid(
                f"The file {str(path)!r}, {purpose}, cannot be opened: {error.strerror}."
            ) from None
        self._descriptors.append(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(
                f"Another process is using {self._name}: SQLite serves exactly one. Stop it, or use PostgreSQL."
            ) from None


def exists(url: URL) -> bool:
    """Return whether there is a database: on SQLite the file; that of a server is taken to be there."""
    return url.get_backend_name() != "sqlite" or Path(_path_of(url)).exists()


def wal_bytes(url: URL) -> int:
    """Return the size of the write-ahead log beside the file; 0 if there is none."""
    try:
        return Path(f"{_path_of(url)}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _path_of(url: URL) -> str:
    """Return the path of a URL; in a URI (`?uri=true`) it follows `file:`."""
    return str(url.database).removeprefix("file:")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
