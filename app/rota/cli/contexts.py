"""Contexts: several servers by name, each with its key, in a file that only its owner can read.

current = "shop"

[contexts.shop]
url = "https://rota.example.com"
key = "rota_…"
"""

import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

from rota.cli.exits import CommandFailed, ExitCode

DEFAULT_URL = "http://127.0.0.1:8000"
_PRIVATE = 0o600
_OF_OTHERS = 0o077
#: How often to try while another command changes the contexts, and the seconds between.
_TRIES, _PAUSE = 250, 0.02
_NEW = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Server:
    """A service that commands are for. `context`: the name of the context that it is from, if it is from one."""

    url: str
    key: str | None = field(default=None, repr=False)
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Contexts:
    """What the file has."""

    servers: Mapping[str, Server] = field(default_factory=dict)
    current: str | None = None

    def named(self, name: str) -> Server:
        """Return a context. Raises CommandFailed if there is none of this name."""
        if name not in self.servers:
            known = ", ".join(sorted(self.servers)) or "none"
            raise CommandFailed(
                f"There is no context {name!r} (there are: {known}). Add it: rota context add {name} --url …",
                ExitCode.NOT_FOUND,
            )
        return self.servers[name]

    def with_server(self, name: str, server: Server) -> "Contexts":
        """Return these with a context added or replaced; the first one becomes the current one."""
        return Contexts({**self.servers, name: server}, self.current or name)

    def without(self, name: str) -> "Contexts":
        """Return these without a context. Raises CommandFailed if there is none of this name."""
        self.named(name)
        left = {each: server for each, server in self.servers.items() if each != name}
        return Contexts(left, None if self.current == name else self.current)

    def using(self, name: str) -> "Contexts":
        """Return these with another current one. Raises CommandFailed if there is none of this name."""
        self.named(name)
        return replace(self, current=name)


def chosen_server(
    *,
    url: str | None,
    key: str | None,
    context: str | None,
    environ: Mapping[str, str] = os.environ,
) -> Server:
    """Return the service that options, the environment and the contexts choose.

    An option wins over a variable. The key of a context is sent to the URL of that context only, never to another.
    Raises CommandFailed.
    """
    if context is not None:  # typed: it wins over ROTA_URL and ROTA_KEY as well
        found = read_contexts().named(context)
        return _over(found, url, key)
    url = url or environ.get("ROTA_URL") or None
    key = key or environ.get("ROTA_KEY") or None
    if url is not None:
        return Server(checked_url(url), key)
    contexts = read_contexts()
    name = environ.get("ROTA_CONTEXT") or contexts.current
    return _over(contexts.named(name) if name else Server(DEFAULT_URL), None, key)


def is_chosen(
    *, url: str | None, context: str | None, environ: Mapping[str, str] = os.environ
) -> bool:
    """Return whether options, the environment or the contexts choose a service; else it is that of this machine."""
    named = url or context or environ.get("ROTA_URL") or environ.get("ROTA_CONTEXT")
    return bool(named or read_contexts().current)


def _over(server: Server, url: str | None, key: str | None) -> Server:
    """Return a context, with what was given in place of it."""
    if url is not None:
        return Server(checked_url(url), key)
    return server if key is None else replace(server, key=key)


def checked_url(url: str) -> str:
    """Return an address without the slash at its end. Raises CommandFailed if it is none."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise CommandFailed(
            f"{url!r} is no address of a service; give one such as {DEFAULT_URL} or https://rota.example.com."
        )
    return url.rstrip("/")


def contexts_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where contexts are kept."""
    base = environ.get("XDG_CONFIG_HOME")
    folder = Path(base) if base else Path.home() / ".config"
    return folder / "rota" / "contexts.toml"


def read_contexts() -> Contexts:
    """Return the contexts; none if there is no file. Raises CommandFailed if it cannot be used."""
    path = contexts_file()
    try:
        if path.stat().st_mode & _OF_OTHERS:
            raise CommandFailed(
                f"Others can read {path}, which may have keys. Run: chmod 600 {path}"
            )
        return _parsed(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Contexts()
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise CommandFailed(f"{path} is damaged: {error}. Correct it, or remove it.") from None


def _parsed(document: dict[str, Any]) -> Contexts:
    servers = {
        name: Server(checked_url(str(each.get("url", ""))), _key_of(each), name)
        for name, each in document.get("contexts", {}).items()
    }
    current = document.get("current")
    return Contexts(servers, current if current in servers else None)


def _key_of(fields: dict[str, Any]) -> str | None:
    key = fields.get("key")
    if not isinstance(key, str | None):
        raise TypeError("a key is text")
    return key


def change_contexts(change: Callable[[Contexts], Contexts]) -> tuple[Contexts, Path]:
    """Change the contexts, one process after another; return them, and where they are. Raises CommandFailed."""
    path = contexts_file()
    behind = _behind(path)
    try:
        behind.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(behind):
            changed = change(read_contexts())
            _write(behind, changed)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}.") from None
    return changed, path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let no other process change a file during the block. Raises CommandFailed if one has it for long."""
    handle = os.open(path.with_name(f".{path.name}.lock"), _NEW, _PRIVATE)
    try:
        _lock(handle, path)
        yield  # it is unlocked as the handle is closed, or with this process
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    for _ in range(_TRIES):
        with suppress(BlockingIOError):
            flock(handle, LOCK_EX | LOCK_NB)
            return
        Event().wait(_PAUSE)
    raise CommandFailed(f"Another command has {path} locked. Try again, or end that command.")


def _write(path: Path, contexts: Contexts) -> None:
    """Write the file as a whole, for its owner only."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(beside, _NEW | os.O_TRUNC, _PRIVATE)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_as_toml(contexts))
        beside.replace(path)
    except OSError:
        with suppress(OSError):  # it may have keys
            beside.unlink()
        raise


def _behind(path: Path) -> Path:
    """Return the file that a path leads to: where it is a link, that stays one."""
    return Path(os.path.realpath(path))


def _as_toml(contexts: Contexts) -> str:
    lines = [] if contexts.current is None else [f"current = {_quoted(contexts.current)}"]
    for name, server in contexts.servers.items():
        lines += ["", f"[contexts.{_quoted(name)}]", f"url = {_quoted(server.url)}"]
        lines += [] if server.key is None else [f"key = {_quoted(server.key)}"]
    return "\n".join(lines).lstrip("\n") + "\n"


def _quoted(text: str) -> str:
    # A string of JSON is one of TOML, if only what must be escaped is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def names_of_contexts() -> list[str]:
    """Return the names of the contexts, for completion: none if the file cannot be used."""
    try:
        return sorted(read_contexts().servers)
    except CommandFailed:
        return []
