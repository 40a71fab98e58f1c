"""Crontabs, of a user and of the system, as cronie and Debian's cron read them (crontab(5)).

A task runs the command of its line by the handler `shell`, with the input `{"command": …, "stdin": …, "env": {…}}`.
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from rota.cli.local.importing.imported import Imported, NotMappable
from rota.domain.cron.expression import MACROS

HANDLER = "shell"

_SETTING = re.compile(r"""\s*["']?([A-Za-z_][A-Za-z0-9_]*)["']?\s*=\s*(.*)""")
_FIELDS = 5
_PARTS = re.compile(r"&&|\|\|?|;")
_BEFORE = {"exec", "nice", "nohup", "sudo", "env", "/usr/bin/env"}
_UNESCAPED_PERCENT = re.compile(r"(?<!\\)%")
#: Variables that set up cron itself. Others are for the commands.
_MAIL = ("MAILTO", "MAILFROM")
_OF_CRON = {"CRON_TZ", "RANDOM_DELAY", *_MAIL}


@dataclass(frozen=True, slots=True)
class _Lines:
    """What the lines so far have set."""

    timezone: str
    environment: dict[str, str] = field(default_factory=dict)


#: Users that are on most machines and are no programs.
_USERS = frozenset({"root", "www-data", "nobody", "daemon", "postgres"})


def read_crontab(text: str, *, timezone: str, has_users: bool) -> Imported:
    """Return the tasks of a crontab. `has_users`: its lines name a user, as in /etc/crontab and /etc/cron.d."""
    found = Imported()
    state = _Lines(timezone)
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        setting = _SETTING.fullmatch(line)
        if setting is not None:
            state = _set(found, number, state, setting[1], _unquoted(setting[2]))
            continue
        try:
            _add(found, number, line, state, has_users=has_users)
        except NotMappable as error:
            found.refuse(number, line, error)
    return found


def _set(found: Imported, number: int, state: _Lines, name: str, value: str) -> _Lines:
    """Return what is set after a line `NAME=value`."""
    if name == "CRON_TZ":
        return replace(state, timezone=value or state.timezone)
    if name in _MAIL and value:
        found.warn(
            number,
            f"{name}={value}",
            "no mail is sent; alerts are set by 'on_failure', of a task or of ROTA_ON_FAILURE",
        )
    if name == "RANDOM_DELAY":
        found.warn(number, f"{name}={value}", "give the schedules a 'jitter' instead")
    if name in _OF_CRON:
        return state
    return replace(state, environment={**state.environment, name: value})


def _unquoted(value: str) -> str:
    value = value.strip()
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


def _add(found: Imported, number: int, line: str, state: _Lines, *, has_users: bool) -> None:
    expression, rest = _split_schedule(line)
    user, command = _split_user(rest) if has_users else (None, rest)
    if not command:
        raise NotMappable("there is no command")
    text, stdin = _split_input(command)
    given: dict[str, Any] = {"command": text}
    if stdin is not None:
        given["stdin"] = stdin
    if state.environment:
        given["env"] = state.environment
    schedule = {"type": "cron", "expression": expression, "timezone": state.timezone}
    found.add(_name_of(text), {"handler": HANDLER, "input": given, "schedule": schedule})
    if user is not None:
        found.warn(number, line, f"it runs as {user} there; here as the user of the service")
    elif text.partition(" ")[0] in _USERS:
        reason = "its command begins with the name of a user: is it a line of /etc/crontab? Then give --system"
        found.warn(number, line, reason)


def _split_schedule(line: str) -> tuple[str, str]:
    """Return the expression of a line, and what comes behind it; raises NotMappable."""
    if line.startswith("@"):
        word, _, rest = line.partition(" ") if " " in line else line.partition("\t")
        if word == "@reboot":
            raise NotMappable("@reboot is no time: start the command with the machine, by systemd")
        if word.lower() not in MACROS:
            raise NotMappable(f"{word} is none of {', '.join(MACROS)}")
        return word.lower(), rest.strip()
    # A '-' before the minute keeps cron from logging the line (SUSE, cronie).
    parts = line.removeprefix("-").split(None, _FIELDS)
    if len(parts) <= _FIELDS:
        raise NotMappable("a line has 5 fields (minute hour day month weekday) and a command")
    return " ".join(parts[:_FIELDS]), parts[_FIELDS]


def _split_user(rest: str) -> tuple[str, str]:
    user, _, command = rest.replace("\t", " ").partition(" ")
    return user, command.strip()


def _split_input(command: str) -> tuple[str, str | None]:
    r"""Return the command and its standard input: an unescaped % ends a line, `\%` is a %."""
    text, *given = _UNESCAPED_PERCENT.split(command)
    lines = [each.replace(r"\%", "%") for each in given]
    return text.replace(r"\%", "%").strip(), "\n".join(lines) + "\n" if given else None


def _name_of(command: str) -> str:
    """Return a name for the task of a command: that of its first program, but for those that only prepare."""
    for part in _PARTS.split(command):
        words = [each for each in part.split() if "=" not in each and each not in _BEFORE]
        if words and words[0] != "cd":
            program = PurePath(words[0].strip("\"'()&")).name
            return program.removesuffix(".sh").removesuffix(".py") or "task"
    return "task"
