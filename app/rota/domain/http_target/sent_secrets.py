"""The secrets that a request carries, which are redacted from what comes back."""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from rota.domain.http_target.auth import BasicAuth, texts_of
from rota.domain.http_target.secret_headers import looks_secret
from rota.domain.http_target.target import Target
from rota.domain.http_target.templates.filling import (
    ABSENT,
    CANNOT_BE_FILLED,
    TemplateError,
    fill,
    references,
    to_text,
)
from rota.domain.http_target.templates.scope import Scope
from rota.domain.primitives.texts.sealed import SealedText
from rota.domain.secrets.opened import OpenedSecret
from rota.domain.secrets.values import SHORTEST

#: How many texts of a secret input are looked for in replies, and how many characters they may have together.
MOST_INPUT_TEXTS: Final = 500
MOST_INPUT_CHARACTERS: Final = 131_072
# What is before a secret in a header, and none itself.
_SCHEMES = frozenset({"apikey", "basic", "bearer", "digest", "token"})
# A header of the user's that looks secret by its name, and is none.
_SHOWN = "idempotency-key"
_CREDENTIALS = ("token", "password", "client_secret")


def named_values(secrets: Iterable[OpenedSecret]) -> Iterator[str]:
    """Yield the values of named secrets, with those before them while a rotation overlaps."""
    yield from (value for each in secrets for value in (each.value, each.previous) if value)


def values_in_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield what the secret ones of filled-in headers hold, without a scheme (`Bearer`) before it."""
    for name, value in headers.items():
        if looks_secret(name) and name.lower() != _SHOWN:
            scheme, _, rest = value.partition(" ")
            yield rest if scheme.lower() in _SCHEMES and len(rest) >= SHORTEST else value
            if " " in value:
                yield rest


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts in a JSON value, up to the limits."""
    texts = 0
    left = MOST_INPUT_CHARACTERS
    waiting = [value]
    while waiting and texts < MOST_INPUT_TEXTS and left > 0:
        match waiting.pop():
            case str(text) if len(text) >= SHORTEST:
                yield text[:left].encode("utf-8", "ignore").decode()
                texts, left = texts + 1, left - len(text)
            case list(items):
                waiting.extend(reversed(items))
            case dict(fields):
                waiting.extend(reversed(fields.values()))


def filled_in(target: Target, scope: Scope) -> Iterator[str]:
    """Yield what the secret headers of a target and the credentials in its `auth` come to, filled in from a scope."""
    yield from values_in_headers(
        {name: _text(text, scope) for name, text in _secret_headers(target)}
    )
    given = {field: _text(text, scope) for field, text in texts_of(target.auth).items()}
    yield from (given[field] for field in _CREDENTIALS if given.get(field))
    if isinstance(target.auth, BasicAuth):
        yield b64encode(f"{given['username']}:{given['password']}".encode()).decode()


def entries_needed(target: Target) -> set[str]:
    """Return the keys of the kv that the secret headers and `auth` of a target refer to."""
    texts = [text for _, text in _secret_headers(target)] + [*texts_of(target.auth).values()]
    return {key for text in texts for key in _keys_in(text)}


def _secret_headers(target: Target) -> list[tuple[str, str]]:
    """Return the secret headers that can be read: of one that does not open nothing was sent."""
    return [
        (name, value)
        for name, value in target.headers.items()
        if looks_secret(name) and not isinstance(value, SealedText)
    ]


def _keys_in(text: str) -> Iterator[str]:
    with suppress(TemplateError):
        paths = (each.path for each in references(text))
        yield from (str(path[1]) for path in paths if path[0] == "kv" and len(path) > 1)


def _text(template: str, scope: Scope) -> str:
    """Return a text with its references filled in; "" if that is not possible: then it was not sent."""
    try:
        value = fill(template, scope)
    except CANNOT_BE_FILLED:
        return ""
    return "" if value is ABSENT or value is None else to_text(value)
