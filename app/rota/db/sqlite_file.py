"""The file of an SQLite database: a lock that keeps other processes off it, and whether it is still the one there."""

import fcntl
import os
from pathlib import Path

from sqlalchemy.engine import URL

from rota.errors import Invalid, Unavailable


class FileLock:
    """Held from the beginning to the end of a process's work with an SQLite file.

    Two locks, both of the kernel's (`flock`): on a file beside it, by the path without symbolic links, and on the file
    itself, which a hard link or a lock file that was removed does not get round. SQLite's own locks are of another kind
    (`fcntl`) and not touched by these; but to close any descriptor of a file gives a process's `fcntl` locks up, so
    `release` comes after the last connection is closed.
    """

    def __init__(self, url: URL) -> None:
        """Lock it. Raises Invalid for a path that cannot be used, Unavailable if another process has it."""
        self._name = str(url.database)
        # As it was written, but for the working directory: a link that leads elsewhere by now is another file.
        self._path = Path(_path_of(url)).absolute()
        self._descriptors: list[int] = []
        try:
            real = self._path.resolve()
            self._check_folder(real.parent)
            self._lock(Path(f"{real}-lock"), os.O_RDWR, 0o600, "which keeps others out")
            # It holds what clients keep in it; the files that SQLite puts beside it get the same mode.
            self._lock(real, os.O_RDONLY, 0o600, "which holds the database")
        except BaseException:
            self.release()
            raise
        self._locked = _identity(os.fstat(self._descriptors[-1]))

    def trouble(self) -> str | None:
        """Return what is wrong, if the file at the path is not the one that was locked."""
        try:
            there = _identity(self._path.stat())
        except OSError as error:
            return f"the file {self._name} was removed or cannot be reached: {error.strerror}"
        if there != self._locked:
            return f"the file {self._name} was replaced by another one; restart the service"
        return None

    def release(self) -> None:
        """Let another process have it."""
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
            raise Unavailable(
                f"Another process is using {self._name}: SQLite serves exactly one. Stop it, or use PostgreSQL."
            ) from None


def _path_of(url: URL) -> str:
    """Return the path; that of a URI (`?uri=true`) begins with `file:`."""
    return str(url.database).removeprefix("file:")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
