"""The inputs of the built-in notifiers: where they send to, beside the event that they send.

The event's fields are put in by the alert that makes the run; a run by hand has none, and is a test. A notifier may
also come `after` other tasks, and gets their results and runs then.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rota.domain.alerts.received_events import Event
from rota.domain.http_target.secret_references import SecretUse
from rota.domain.http_target.signature import Signature
from rota.domain.http_target.templates.urls import MOST_URL, fault_in_url
from rota.domain.primitives.json import json_text
from rota.domain.secrets.names import SecretName
from rota.domain.secrets.origins import origin_of
from rota.errors import Invalid, TooLarge

WEBHOOK = "notify.webhook"
SLACK = "notify.slack"
EMAIL = "notify.email"
NOTIFIERS = frozenset({WEBHOOK, SLACK, EMAIL})
#: Those that may send a named secret.
WITH_SECRETS = (WEBHOOK, SLACK)

#: How long a notifier waits for a server in all.
LONGEST_CALL = timedelta(seconds=30)
MOST_RECIPIENTS = 50

# What RFC 5321 allows without quotes, which nobody has, and without '?': so no address can end a command or a header,
# nor be a word that is decoded (RFC 2047).
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=^_`{|}~-]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ADDRESS_PATTERN = rf"^{_LOCAL}@{_LABEL}(?:\.{_LABEL})*$"
_SENDER = re.compile(r"(?:(?P<name>[^\x00-\x1f\x7f<>\"]{0,100}?) *<)?(?P<address>[^<>\s]+)>?")
_ADDRESS = re.compile(ADDRESS_PATTERN)

_LONGEST_ADDRESS = 254


def _check_address(text: str) -> str:
    if len(text) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(text):
        raise PydanticCustomError("address", "give an e-mail address, such as 'ops@example.com'")
    return text


Address = Annotated[
    str,
    AfterValidator(_check_address),
    WithJsonSchema({"type": "string", "pattern": ADDRESS_PATTERN, "maxLength": _LONGEST_ADDRESS}),
]


def split_sender(text: str) -> tuple[str, str]:
    """Return the name and the address of `Rota <rota@example.com>`, or of an address alone; raises ValueError."""
    found = _SENDER.fullmatch(text.strip())
    bracketed = found is not None and found["name"] is not None
    if (
        found is None
        or bracketed != text.strip().endswith(">")
        or "=?" in text
        or len(found["address"]) > _LONGEST_ADDRESS
        or not _ADDRESS.fullmatch(found["address"])
    ):
        raise ValueError(
            "give an e-mail address, such as 'rota@example.com' or 'Rota <rota@example.com>'"
        )
    return (found["name"] or "").strip(), found["address"]


def _check_sender(text: str) -> str:
    try:
        split_sender(text)
    except ValueError as error:
        raise PydanticCustomError("sender", "{message}", {"message": str(error)}) from None
    return text


def _check_url(url: str) -> str:
    fault = url_fault(url)
    if fault is not None:
        raise PydanticCustomError("url", "{message}", {"message": fault})
    return url


def url_fault(url: str) -> str | None:
    """Return what is wrong with the address of a webhook, without quoting it; None if it can be called."""
    if "{{" in url:
        return "the address of a notifier has no references; give it as it is"
    return fault_in_url(url)


class NotifierInput(BaseModel):
    """What the run of a notifier gets beside its task's own input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str | None = Field(None, max_length=200, description="Of the event; put in by the alert.")
    timestamp: str | None = Field(
        None, max_length=64, description="Of the event; put in by the alert."
    )
    data: dict[str, Any] | None = Field(None, description="Of the event; put in by the alert.")
    results: Any = Field(None, description="Of predecessors, if the task comes `after` some.")
    runs: dict[str, Any] | None = Field(
        None, description="Of predecessors, if the task comes `after` some."
    )

    @property
    def event(self) -> Event | None:
        """The event; None if the run has none."""
        if self.type is None:
            return None
        return Event(self.type, self.timestamp or "", self.data or {})


class _Hook(NotifierInput):
    """What is posted to an address."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["url"]}, {"required": ["url_secret"]}]}
    )

    url: (
        Annotated[str, StringConstraints(max_length=MOST_URL), AfterValidator(_check_url)] | None
    ) = Field(None, description="Where to; or give `url_secret`.")
    url_secret: SecretName | None = Field(
        None, description="The name of a named secret whose value is the whole URL."
    )

    @model_validator(mode="after")
    def _has_one_address(self) -> Self:
        if (self.url is None) == (self.url_secret is None):
            raise PydanticCustomError("url", "give either `url` or `url_secret`")
        return self


class WebhookInput(_Hook):
    """The input of `notify.webhook`."""

    signature: Signature | None = Field(
        None, description="Signs the request by Standard Webhooks 1.0.0, with a named secret."
    )


class SlackInput(_Hook):
    """The input of `notify.slack`."""


class EmailInput(NotifierInput):
    """The input of `notify.email`."""

    model_config = ConfigDict(serialize_by_alias=True)

    to: Annotated[tuple[Address, ...], Field(min_length=1, max_length=MOST_RECIPIENTS)] = Field(
        description="Who gets it."
    )
    from_: (
        Annotated[str, StringConstraints(max_length=400), AfterValidator(_check_sender)] | None
    ) = Field(
        None,
        alias="from",
        description="The sender: `Rota <rota@example.com>`; else ROTA_SMTP_FROM.",
    )


def secret_uses_of(handler: str, input: Any) -> list[SecretUse]:
    """Return the references to named secrets in an input, for a notifier.

    `origin` is None for a secret that is the address itself: it decides where it is sent to.
    """
    if handler not in WITH_SECRETS or not isinstance(input, Mapping):
        return []
    uses = []
    address, url, signature = (input.get(each) for each in ("url_secret", "url", "signature"))
    if isinstance(address, str):
        uses.append(SecretUse(address, "/url_secret", None))
    if (
        handler == WEBHOOK
        and isinstance(signature, Mapping)
        and isinstance(signature.get("secret"), str)
    ):
        home = origin_of(url) if isinstance(url, str) else None
        uses.append(SecretUse(signature["secret"], "/signature/secret", home))
    return uses


def secret_names_of(handler: str, input_json: str) -> tuple[str, ...]:
    """Return the named secrets that an input (JSON text) refers to, each once; none if it cannot be read."""
    if handler not in WITH_SECRETS:
        return ()
    try:
        uses = secret_uses_of(handler, json_text.loads(input_json))
    except (Invalid, TooLarge):
        return ()
    return tuple(dict.fromkeys(use.name for use in uses))
