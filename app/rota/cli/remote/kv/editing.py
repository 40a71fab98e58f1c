"""`rota kv edit`: a value in the editor, written only if nobody has changed it meanwhile."""

import json
import os
import shlex
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from rota.cli.exits import CommandFailed, ExitCode
from rota.cli.output import note
from rota.cli.remote.arguments import TaskName
from rota.cli.remote.documents.reading import refuse_constant
from rota.cli.remote.kv.entries import Key
from rota.cli.remote.service import Service, at, connected, failure
from rota.client import Unreachable
from rota.clock import SystemClock


def edit(context: typer.Context, task: TaskName, key: Key) -> None:
    """Edit the value of an entry in $EDITOR. What was typed is kept in a file if it cannot be written."""
    with connected(context) as service:
        entry = _entry(service, task, key)
        before = (
            "" if entry is None else json.dumps(entry["value"], ensure_ascii=False, indent=2) + "\n"
        )
        path = _written(before, key)
        _open_editor(path)
        after = path.read_bytes()
        if after == before.encode():
            path.unlink()
            note("Nothing was changed.")
            return
        version = _save(service, task, entry, _value(after, path), key, path)
    path.unlink()
    typer.echo(f"{key} is written, version {version}.")


def _entry(service: Service, task: str, key: str) -> Any:
    """Return the entry; None if there is none, or raises what the task says."""
    try:
        entry = service.entry(task, key)
    except Exception as error:
        failed = failure(error)
        if failed is None or failed.code is not ExitCode.NOT_FOUND:
            raise
        service.get(at("tasks", task))  # a task that does not exist is another mistake
        return None
    if entry.get("encoding") is not None:
        raise CommandFailed(f"{key} has bytes, not JSON: use `rota kv get` and `rota kv set`.")
    return entry


def _written(text: str, key: str) -> Path:
    """Return a file with the value, which only its owner can read."""
    handle, name = tempfile.mkstemp(
        prefix=f"rota-{key[:40].replace(':', '-')}-", suffix=".json", text=True
    )
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)


def _open_editor(path: Path) -> None:
    """Wait until the editor is closed. Raises CommandFailed if it fails."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        code = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode  # noqa: S603  # the user's own
    except (OSError, ValueError) as error:
        path.unlink()
        raise CommandFailed(
            f"The editor {editor!r} cannot be started: {error}. Set EDITOR."
        ) from None
    if code != 0:
        raise CommandFailed(
            f"The editor ended with {code}; nothing is written. What you typed is in {path}."
        )


def _value(content: bytes, path: Path) -> Any:
    try:
        return json.loads(content.decode(), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CommandFailed(
            f"That is no JSON ({error}); nothing is written. What you typed is in {path}."
        ) from None


def _save(service: Service, task: str, entry: Any, value: Any, key: str, path: Path) -> int:
    """Write the value if the entry is as it was; return the new version. Raises CommandFailed, and keeps the file."""
    check = {"op": "check", "key": key} | (
        {"absent": True} if entry is None else {"version": entry["version"]}
    )
    operations = [check, {"op": "set", "key": key, "value": value, **_expiry(entry)}]
    try:
        items = service.call(
            "POST", at("tasks", task, "kv", "transaction"), body={"operations": operations}
        )["items"]
    except Exception as error:
        failed = failure(error)
        if failed is None:
            raise
        meanwhile = "It was changed meanwhile. " if failed.code is ExitCode.CONFLICT else ""
        raise CommandFailed(
            f"{meanwhile}{failed.sentence} {_fate(error)} What you typed is in {path}.",
            failed.code,
        ) from None
    return int(items[-1]["version"])


def _fate(error: Exception) -> str:
    if isinstance(error, Unreachable) and error.may_be_done:
        return "It may have been written."
    return "Nothing is written."


def _expiry(entry: Any) -> dict[str, float]:
    """Return the rest of the time after which the entry expires: a write without it would let it stay for good."""
    if entry is None or entry["expires_at"] is None:
        return {}
    left = datetime.fromisoformat(entry["expires_at"]) - SystemClock().now()
    return {"ttl": max(left.total_seconds(), 1)}
