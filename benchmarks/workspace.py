"""A folder that goes away afterwards, on the disk that is measured."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SYNCS = 50


@contextmanager
def temporary_folder(under: Path | None = None) -> Iterator[Path]:
    """Make a folder for the block and remove it with all that is in it."""
    folder = Path(tempfile.mkdtemp(prefix="rota-bench-", dir=under))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def subfolder(folder: Path, name: str) -> Path:
    """Make a folder in a folder."""
    made = folder / name
    made.mkdir()
    return made


def sync_milliseconds(folder: Path) -> float:
    """Return what it takes to have 4 KiB on the disk: the floor under every durable commit."""
    path = folder / "sync"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(bytes(4096))
            start = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - start)
    path.unlink()
    return statistics.median(taken) * 1000
