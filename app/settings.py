"""Settings: `ROTA_*` environment variables, each with its default and its meaning."""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_MOST_KEYS = 2
_ENCRYPTION_KEY = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,31}):(.+)")
_KEY_BYTES = 32


def _split(value: object) -> object:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


class Settings(BaseSettings):
    """Everything that can be set. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix="ROTA_", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    database_url: str = Field(
        "sqlite:///rota.db",
        description="`sqlite:///file.db` (exactly one process) or `postgresql+psycopg://user:password@host/name`.",
    )
    handlers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Modules (`shop.jobs`) or files (`handlers.py`) with `@handler` functions, comma-separated.",
    )
    host: str = Field(
        "127.0.0.1", description="Address to listen on; other than loopback needs an API key."
    )
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on.")
    api_key: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="One key, or two (comma-separated) while it is being rotated."
    )
    concurrency: int = Field(
        64, ge=1, le=10_000, description="Runs at a time, per queue, in this process."
    )
    process_concurrency: int = Field(
        4,
        ge=1,
        le=1_000,
        description="Of handlers with isolation `process`, runs at a time in this process.",
    )
    lease_ttl: float = Field(
        15,
        ge=1,
        le=600,
        description="How long this process may be silent before its runs are given back.",
    )
    drain_grace: float = Field(
        30, ge=0, le=3_600, description="How long SIGTERM waits for running runs."
    )
    watchdog_interval: float = Field(
        1, gt=0, le=60, description="How often the watchdog makes sure that nothing due is left."
    )
    freeze_limit: float = Field(
        0,
        ge=0,
        le=3_600,
        description="A process that stands still for so long, because a handler keeps the interpreter lock or because "
        "it is suspended, ends itself, so that it can be started again; 0: never.",
    )
    constraint_interval: float = Field(
        5,
        gt=0,
        le=3_600,
        description="How often the constraints of runs that wait for them are looked at again.",
    )
    maintenance_interval: float = Field(
        30,
        gt=0,
        le=3_600,
        description="How often old runs, expired kv entries and used keys are removed.",
    )
    delete_after: float = Field(
        604_800,
        ge=0,
        le=3_153_600_000,
        description="How long ended tasks that were made without `PUT` are kept, unless they say so themselves.",
    )
    stale_after: float = Field(
        15,
        gt=0,
        le=3_600,
        description="`/readyz` fails when the last firing pass is older than this.",
    )
    max_result_bytes: int = Field(1_048_576, ge=1_024, description="Largest result of a run.")
    max_value_bytes: int = Field(262_144, ge=1_024, description="Largest value of a kv entry.")
    max_key_length: int = Field(
        255, ge=1, le=255, description="Most characters of the key of a kv entry."
    )
    kv_key_pattern: str = Field(
        "",
        description="A regular expression that keys of kv entries must match as a whole, besides Rota's own rules.",
    )
    max_kv_entries: int = Field(10_000, ge=1, description="Most kv entries of a task.")
    max_kv_bytes: int = Field(
        16_777_216, ge=1_024, description="Most bytes that the values of a task's kv have together."
    )
    encryption_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Keys for kv values and secret inputs, comma-separated, each `<id>:<32 bytes as base64>`: the "
        "first one encrypts, all of them decrypt.",
    )
    max_log_bytes: int = Field(
        65_536, ge=0, description="Most that is kept of what one attempt prints and logs."
    )
    http_max_body_bytes: int = Field(
        65_536, ge=0, description="Most that the `http` handler reads of a reply."
    )
    max_streams: int = Field(
        256,
        ge=1,
        le=100_000,
        description="Server-sent event streams (events, watches, followed logs) and requests that wait for a run "
        "(`?wait=`) that are open at a time, together.",
    )
    event_retention: float = Field(
        86_400,
        ge=60,
        le=31_536_000,
        description="How long events are kept: for so long a broken stream can be resumed.",
    )
    max_event_commits: int = Field(
        1_000_000,
        ge=1_000,
        le=1_000_000_000,
        description="Most commits of which events are kept, however young they are.",
    )
    log_format: str = Field(
        "console", pattern="^(console|json)$", description="`console` or `json`."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least severe level shown."
    )

    @field_validator("handlers", mode="before")
    @classmethod
    def _split_handlers(cls, value: object) -> object:
        return _split(value)

    @field_validator("freeze_limit")
    @classmethod
    def _freeze_limit_is_long(cls, limit: float, info: ValidationInfo) -> float:
        # The watchdog, which comes that often if nothing is wrong, may come a little late.
        shortest = 2 * info.data.get("watchdog_interval", 0)
        if 0 < limit < shortest:
            raise ValueError(
                f"give at least twice ROTA_WATCHDOG_INTERVAL, which is {shortest:g}, or 0"
            )
        return limit

    @field_validator("kv_key_pattern")
    @classmethod
    def _pattern_is_one(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"this is no regular expression: {error}") from None
        return pattern

    @field_validator("encryption_keys", mode="before")
    @classmethod
    def _split_encryption_keys(cls, value: object) -> object:
        return _split(value)

    @field_validator("encryption_keys")
    @classmethod
    def _encryption_keys_are_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        ids = [_read_key(key)[0] for key in keys]
        if len(ids) != len(set(ids)):
            raise ValueError("each key has an id of its own")
        return keys

    @field_validator("api_key", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return _split(value)

    @field_validator("api_key")
    @classmethod
    def _keys_are_long(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        shortest = 16
        if len(keys) > _MOST_KEYS:
            raise ValueError("give one key, or two while it is being rotated")
        if any(len(key.get_secret_value()) < shortest for key in keys):
            raise ValueError(
                f"a key has at least {shortest} characters, e.g. from: openssl rand -hex 24"
            )
        return keys

    @property
    def keys_by_id(self) -> dict[str, bytes]:
        """The encryption keys, the one that encrypts first."""
        return dict(_read_key(key) for key in self.encryption_keys)

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return self.host == "localhost" or ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


def unknown_variables(names: Iterable[str]) -> dict[str, str | None]:
    """Return which names of environment variables look like Rota's and are none, each with the nearest that is."""
    prefix = "ROTA_"
    known = [f"{prefix}{name.upper()}" for name in Settings.model_fields]
    unknown = sorted(
        name for name in names if name.upper().startswith(prefix) and name.upper() not in known
    )
    near = {name: get_close_matches(name.upper(), known, n=1, cutoff=0.7) for name in unknown}
    return {name: found[0] if found else None for name, found in near.items()}


def _read_key(key: SecretStr) -> tuple[str, bytes]:
    """Return an encryption key and its id. What it raises does not show the key."""
    match = _ENCRYPTION_KEY.fullmatch(key.get_secret_value())
    try:
        made = (
            b64decode(match[2].replace("-", "+").replace("_", "/"), validate=True) if match else b""
        )
    except NotBase64:
        made = b""
    if match is None or len(made) != _KEY_BYTES:
        raise ValueError(
            'a key is "<id>:<32 bytes as base64>", e.g. k1: and the output of: openssl rand -base64 32'
        )
    return match[1], made
