"""Settings: `ROTA_*` environment variables, each with its default and its meaning."""

import os
from typing import Literal, Self

from pydantic import Field, PrivateAttr, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from rota.secret_variables import SecretVariables, read_secrets
from rota.setting_bounds import BOUNDS, contradiction
from rota.setting_files import FileSettings
from rota.setting_values import (
    Address,
    ApiKeys,
    EncryptionKeys,
    Expression,
    Networks,
    Origins,
    Texts,
    read_encryption_key,
)


class Settings(BaseSettings):
    """All settings. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix="ROTA_", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    database_url: str = Field(
        "sqlite:///rota.db",
        description="`sqlite:///file.db` (exactly one process) or `postgresql+psycopg://user:password@host/name`.",
    )
    handlers: Texts = Field(
        (),
        description="Modules (`shop.jobs`) or files (`handlers.py`) with `@handler` functions, comma-separated.",
    )
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on; other than loopback needs an API key, in `ROTA_API_KEY` or stored.",
    )
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on.")
    public_url: Address = Field(
        "",
        description="The address at which the service is reached, such as `https://rota.example.com`: links of alerts "
        "and notifiers begin with it, and it is sent to targets with `async`, which report their outcomes there.",
    )
    on_failure: str = Field(
        "",
        description='What tasks without an `on_failure` of their own do, as JSON: `{"task": "alert-ops"}`.',
    )
    on_success: str = Field("", description="The same for `on_success`.")
    on_skipped: str = Field("", description="The same for `on_skipped`.")
    on_late: str = Field("", description="The same for `on_late`.")
    api_key: ApiKeys = Field(
        (),
        description="One key with all rights, or two (comma-separated) while it is being rotated. Keys with fewer "
        "rights are made by `rota key create` and `POST /v1/keys`.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Addresses and networks (`10.0.0.0/8`) of reverse proxies, comma-separated: what they say of a "
        "request's client (`X-Forwarded-For`, `X-Forwarded-Proto`, `Forwarded`) is believed, and of nobody else.",
    )
    failed_logins: int = Field(
        10,
        ge=0,
        le=1_000,
        description="After so many wrong keys from an address within a minute, keys of ROTA_API_KEY that are new there "
        "are not tried for the rest of it (429), stored keys are; 0: any number.",
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
        description="How long this process may be silent before its runs are released.",
    )
    drain_grace: float = Field(
        30, ge=0, le=3_600, description="How long SIGTERM waits for running runs."
    )
    watchdog_interval: float = Field(
        1, gt=0, le=60, description="How often the watchdog checks that nothing due is left."
    )
    freeze_limit: float = Field(
        0,
        ge=0,
        le=3_600,
        description="A process that stands still for so long, because a handler keeps the interpreter lock or because "
        "it is suspended, terminates itself, so that it can be started again; 0: never.",
    )
    constraint_interval: float = Field(
        5,
        gt=0,
        le=3_600,
        description="How often the constraints of waiting runs are checked again.",
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
        description="How long ended tasks that were created without `PUT` are kept, unless they set `delete_after`.",
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
    kv_key_pattern: Expression = Field(
        "",
        description="A regular expression that keys of kv entries must match as a whole, besides Rota's own rules.",
    )
    max_kv_entries: int = Field(10_000, ge=1, description="Most kv entries of a task.")
    max_kv_bytes: int = Field(
        16_777_216, ge=1_024, description="Most bytes of all kv values of a task together."
    )
    encryption_keys: EncryptionKeys = Field(
        (),
        description="Keys for kv values, secret inputs and secret headers of targets, comma-separated, each "
        "`<id>:<32 bytes as base64>`: the first one encrypts, all of them decrypt.",
    )
    max_log_bytes: int = Field(
        65_536, ge=0, description="Most bytes that are stored of what one attempt prints and logs."
    )
    http_max_body_bytes: int = Field(
        65_536, ge=0, description="Most bytes that the `http` handler reads of a response."
    )
    http_max_per_host: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Calls to one host (scheme, name and port) at a time, from this process; further runs wait.",
    )
    http_rate_per_host: float = Field(
        0,
        ge=0,
        le=100_000,
        description="Calls to one host that may begin in a second, from this process; 0: any number.",
    )
    http_circuit_failures: int = Field(
        5,
        ge=0,
        le=1_000,
        description="After so many calls in a row that found a host down, it is called no more for a while; 0: never.",
    )
    http_circuit_longest: float = Field(
        60,
        ge=1,
        le=3_600,
        description="The longest time between two attempts to reach a host that is down.",
    )
    http_targets: Texts = Field(
        (),
        description="What may be connected to, comma-separated: `public`, `private`, `loopback`, host names "
        "(`app.internal`, `*.internal`), networks (`10.0.0.0/8`). Left empty: `public, private`, and `loopback` as "
        "long as there is no API key.",
    )
    http_proxy: SecretStr = Field(
        SecretStr(""),
        description="The proxy by which HTTP requests leave, `http://user:password@proxy.internal:3128`; empty: none, "
        "whatever `HTTP_PROXY` says.",
    )
    http_no_proxy: Texts = Field(
        (),
        description="What is called without the proxy, comma-separated, as in `ROTA_HTTP_TARGETS`: `private`, "
        "`*.internal`, `10.0.0.0/8`. `loopback` always is.",
    )
    smtp_host: str = Field(
        "",
        description="The relay by which `notify.email` sends; empty: it sends none. It may be on any machine, whatever "
        "`ROTA_HTTP_TARGETS` says, which is for targets.",
    )
    smtp_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="Its port; 0: 587 with `starttls`, 465 with `tls`, 25 with `none`.",
    )
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="`starttls` (required, not tried), `tls` from the beginning, or `none`.",
    )
    smtp_user: str = Field("", description="Logs in with this name; empty: it does not log in.")
    smtp_password: SecretStr = Field(SecretStr(""), description="The password for it.")
    smtp_from: str = Field(
        "",
        description="What e-mails are from, unless a task says: `rota@example.com`, `Rota <rota@example.com>`.",
    )
    max_connections: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Connections that are open at a time; fewer if the limit on open files (`ulimit -n`) allows fewer "
        "besides the files that the service needs. One more is answered with 503 and closed.",
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
        description="How long events are kept, and so for how long a broken stream can be resumed.",
    )
    audit_age: float = Field(
        7_776_000,
        ge=60,
        le=3_153_600_000,
        description="How long entries of the audit log are kept (90 days).",
    )
    max_event_commits: int = Field(
        1_000_000,
        ge=1_000,
        le=1_000_000_000,
        description="Most commits whose events are kept, whatever their age.",
    )
    metrics_tasks: int = Field(
        200,
        ge=0,
        le=10_000,
        description="How many tasks have metrics of their own: those that fail, then the others by name; 0: none.",
    )
    cors_origins: Origins = Field(
        (),
        description="Origins whose web pages may call the API, comma-separated, each as a browser sends it: "
        "`https://app.example.com`. Left empty: none.",
    )
    log_format: Literal["console", "json"] = Field("console", description="`console` or `json`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level shown."
    )

    _secrets: tuple[SecretVariables, ...] = PrivateAttr(
        default_factory=lambda: read_secrets(os.environ)
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of settings: arguments, then files, then the environment. Raises SettingsError."""
        del dotenv_settings, file_secret_settings
        return init_settings, FileSettings(settings_cls), env_settings

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for bound in BOUNDS:
            more, less = getattr(self, bound.more), getattr(self, bound.less)
            # Of the settings `more`, only `freeze_limit` can be 0: it is switched off then.
            if more >= bound.times * less or more == 0:
                continue
            if {bound.more, bound.less} <= self.model_fields_set:
                raise ValueError(contradiction(bound, more, less))
            if bound.more in self.model_fields_set:
                self._adjust(bound.less, max(more / bound.times, bound.least))
            else:
                self._adjust(bound.more, bound.times * less)
        return self

    def _adjust(self, name: str, value: float) -> None:
        # Directly, since the model is frozen; and `model_fields_set` must not have it.
        self.__dict__[name] = type(getattr(self, name))(value)

    @property
    def secrets(self) -> tuple[SecretVariables, ...]:
        """The named secrets of the environment: `ROTA_SECRET_…`."""
        return self._secrets

    @property
    def keys_by_id(self) -> dict[str, bytes]:
        """The encryption keys, the one that encrypts first."""
        return dict(read_encryption_key(key) for key in self.encryption_keys)
