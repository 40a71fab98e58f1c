"""Import of the modules and files that have handlers."""

import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from zlib import crc32

from rota.errors import Invalid
from rota.handlers.registry import RegisteredHandler, register
from rota.sdk.decorator import Handler, handler_of

ENTRY_POINT_GROUP = "rota.handlers"


def load(entries: Sequence[str]) -> tuple[RegisteredHandler, ...]:
    """Import modules (`shop.jobs`), files (`handlers.py`) and entry points; return their handlers.

    Raises Invalid, with the cause, for an entry that cannot be imported or holds no handler.
    """
    found = [handler for entry in entries for handler in _from_entry(entry)]
    for point in entry_points(group=ENTRY_POINT_GROUP):
        found.extend(_from_entry_point(point))
    return tuple(found)


def _from_entry(entry: str) -> list[RegisteredHandler]:
    is_file = entry.endswith(".py") or "/" in entry
    module = _import_file(entry) if is_file else _import_named(entry)
    handlers = list(_handlers_in(module, entry))
    if not handlers:
        raise Invalid(f"{entry!r} holds no function with the decorator @handler (from rota).")
    return handlers


def _handlers_in(module: ModuleType, source: str) -> Iterator[RegisteredHandler]:
    for value in list(vars(module).values()):
        spec = handler_of(value)
        if spec is not None:
            # The value, not the declared function: there may be decorators above @handler.
            yield _registered(replace(spec, function=value), source)


def _from_entry_point(point: EntryPoint) -> list[RegisteredHandler]:
    source = f"entry point {point.name} = {point.value}"
    try:
        loaded = point.load()
    except (Exception, SystemExit) as error:
        raise _failed(source, error) from error
    if isinstance(loaded, ModuleType):
        return list(_handlers_in(loaded, source))
    spec = handler_of(loaded)
    if spec is None:
        raise Invalid(f"The {source} is neither a module nor a function with @handler.")
    return [_registered(replace(spec, function=loaded), source)]


def _registered(spec: Handler, source: str) -> RegisteredHandler:
    return replace(register(spec, source), importable=True)


def _import_named(name: str) -> ModuleType:
    # The path of a console script lacks the working directory, in which `shop.jobs` often is.
    _make_importable(Path.cwd())
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failed(name, error) from error
        raise Invalid(
            f"There is no module {name!r} to import (from {Path.cwd()} or the installed packages); "
            "a file is given as a path that ends in .py."
        ) from error
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error


def _import_file(entry: str) -> ModuleType:
    path = Path(entry).expanduser().resolve()
    if not path.is_file():
        raise Invalid(f"There is no file {entry!r} (looked for {path}).")
    name = f"rota_handlers_{path.stem}_{crc32(str(path).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    # Permanently: its functions may import neighbouring modules when they are called.
    _make_importable(path.parent)
    return _execute(entry, name, path)


def _execute(entry: str, name: str, path: Path) -> ModuleType:
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Invalid(f"{entry!r} is not a Python file.")
    module = module_from_spec(spec)
    sys.modules[name] = module  # pydantic and dataclasses look up modules there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _failed(entry, error) from error
    return module


def _make_importable(folder: Path) -> None:
    # Last, so that modules beside a handler cannot shadow those of the service or the standard library.
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _failed(entry: str, error: BaseException) -> Invalid:
    frames = traceback.extract_tb(error.__traceback__)
    # A mistake of syntax is found by the import itself, and its text names the place.
    is_located = not frames or frames[-1].filename.startswith("<frozen")
    at = "" if is_located else f" ({frames[-1].filename}:{frames[-1].lineno})"
    return Invalid(f"{entry!r} cannot be imported: {type(error).__name__}: {error}{at}.")
