"""`rota db backup`: a copy of the database, also while the service runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rota.cli.exits import CommandFailed, ExitCode
from rota.cli.local.terminal import settings_of
from rota.cli.output import Json, print_json, progress
from rota.db.backup import copy_file, dump
from rota.db.engines.sqlite_file import exists
from rota.db.engines.urls import parse_url

_PRIVATE = 0o600
#: What an SQLite database consists of.
_OF_SQLITE = ("", "-wal", "-shm", "-journal")


def backup(
    file: Annotated[Path, typer.Argument(help="Where the copy is written.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Copy the database as it is at one moment, also while the service runs. Of PostgreSQL, pg_dump makes it."""
    url = parse_url(settings_of().database_url)
    _check_target(file, overwrite=overwrite)
    if url.get_backend_name() == "sqlite":
        _check_is_another(file, Path(str(url.database).removeprefix("file:")))
    with _beside(file, overwrite=overwrite) as copy:
        if url.get_backend_name() == "sqlite":
            _copy(Path(str(url.database).removeprefix("file:")), copy, is_there=exists(url))
        else:
            dump(url, copy)
    size = file.stat().st_size
    if as_json:
        print_json({"file": str(file.absolute()), "bytes": size})
        return
    typer.echo(f"{file}: {size / 1_000_000:.1f} MB.")
    typer.echo(_how_to_restore(file, is_sqlite=url.get_backend_name() == "sqlite"), err=True)


def _check_target(file: Path, *, overwrite: bool) -> None:
    if not file.absolute().parent.is_dir():
        raise CommandFailed(f"The folder {file.absolute().parent} does not exist.")
    if file.exists() and not (overwrite and file.is_file()):
        raise CommandFailed(
            f"{file} is there already. Give another name, or --overwrite.", ExitCode.CONFLICT
        )


def _check_is_another(file: Path, source: Path) -> None:
    """Raise CommandFailed for the database itself: a service would go on to write to a file without a name."""
    own = [source.with_name(f"{source.name}{suffix}") for suffix in _OF_SQLITE]
    is_own = file.resolve() in {each.resolve() for each in own}
    if is_own or (file.exists() and source.exists() and file.samefile(source)):
        raise CommandFailed(f"{file} is the database itself. Give another name.")


@contextmanager
def _beside(file: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a path to write to, which gets the name of the file once it is complete and on the disk."""
    copy = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE))
        yield copy
        _sync(copy)
        if overwrite:
            copy.replace(file)
        else:
            os.link(copy, file)  # fails if somebody has made the file meanwhile
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}.") from None
    finally:
        copy.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(source: Path, copy: Path, *, is_there: bool) -> None:
    if not is_there:
        raise CommandFailed(
            f"There is no database {source.absolute()}. Go to the folder of the service, or set ROTA_DATABASE_URL."
        )
    done = 0
    with progress("Copying", None) as bar:

        def on_progress(pages: int, all_: int) -> None:
            nonlocal done
            bar.set_total(all_)
            bar(pages - done)
            done = pages

        copy_file(source, copy, on_progress)


def _how_to_restore(file: Path, *, is_sqlite: bool) -> str:
    if is_sqlite:
        return f"To look at it: ROTA_DATABASE_URL=sqlite:///{file.absolute()} rota serve --paused"
    return f"To restore it: pg_restore --dbname=… {file}; then rota serve --paused"
