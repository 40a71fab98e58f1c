"""Named secrets from the environment: `ROTA_SECRET_CRM`, or `ROTA_SECRET_CRM_FILE` for one in a file.

`ROTA_SECRET_CRM_ORIGINS` says which servers it may be sent to, `ROTA_SECRET_CRM_TASKS` which tasks may send it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_settings import SettingsError

PREFIX = "ROTA_SECRET_"
_SUFFIXES = ("_FILE", "_ORIGINS", "_TASKS")
_ALL = ("*",)


@dataclass(frozen=True, slots=True)
class SecretVariables:
    """What the variables of one secret say; `variable` is the one that holds the value, or names its file."""

    variable: str
    name: str
    value: str = field(repr=False)
    origins: tuple[str, ...]
    tasks: tuple[str, ...]


def read_secrets(variables: Mapping[str, str]) -> tuple[SecretVariables, ...]:
    """Return the secrets in the environment. Raises SettingsError, without a value, for incomplete ones."""
    given = {name: text for name, text in variables.items() if name.startswith(PREFIX) and text}
    bases = dict.fromkeys(_base(name) for name in sorted(given))
    return tuple(_secret(base, given) for base in bases)


def _base(variable: str) -> str:
    for suffix in _SUFFIXES:
        if variable.endswith(suffix) and len(variable) > len(PREFIX) + len(suffix):
            return variable.removesuffix(suffix)
    return variable


def _secret(base: str, given: Mapping[str, str]) -> SecretVariables:
    variable = base if base in given else f"{base}_FILE"
    if {base, f"{base}_FILE"} <= given.keys():
        raise SettingsError(f"{base}_FILE and {base} are both set; give one of them.")
    if variable not in given:
        raise SettingsError(f"{base} is not set, nor {base}_FILE, but other variables of it are.")
    if f"{base}_ORIGINS" not in given:
        raise SettingsError(
            f"{base} needs {base}_ORIGINS: the servers that it may be sent to, such as https://api.example.com "
            "(comma-separated)."
        )
    return SecretVariables(
        variable,
        base.removeprefix(PREFIX).lower().replace("_", "-"),
        given[base] if variable == base else _read(variable, given[variable]),
        _split(given[f"{base}_ORIGINS"]),
        _split(given.get(f"{base}_TASKS", "")) or _ALL,
    )


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _read(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"{variable}: the file {path!r} cannot be read: {error.strerror}."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}: the file {path!r} is not UTF-8.") from None
