"""The files whose changes start a service in development again."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

#: Folders that have no handlers, and may have tens of thousands of files.
_PASSED_OVER = {"__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist"}
_MOST_FILES = 5_000

Stamps = Mapping[str, tuple[int, int]]


def stamps(folders: Sequence[Path]) -> Stamps:
    """Return when each Python file below some folders was changed, and its size; of at most 5,000 files."""
    found: dict[str, tuple[int, int]] = {}
    for path in _python_files(folders):
        try:
            status = path.stat()
        except OSError:  # it was removed meanwhile
            continue
        found[str(path)] = (status.st_mtime_ns, status.st_size)
        if len(found) >= _MOST_FILES:
            break
    return found


def changed(before: Stamps, after: Stamps) -> list[str]:
    """Return the files that are new, changed or gone."""
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))


def _python_files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        for at, inner, names in os.walk(folder):
            inner[:] = [
                each for each in inner if not each.startswith(".") and each not in _PASSED_OVER
            ]
            yield from (Path(at, name) for name in names if name.endswith(".py"))
