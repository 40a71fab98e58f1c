"""The types of settings whose values are checked for more than their form."""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from ipaddress import ip_network
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

_MOST_KEYS = 2
_SHORTEST_KEY = 16
_ENCRYPTION_KEY = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,31}):(.+)")
_KEY_BYTES = 32
_PUBLIC_URL = re.compile(
    r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?"
)
# RFC 6454, 6.2, in lower case.
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")


def _split(value: object) -> object:
    """Split a list at its commas; raises ValueError for commas only, where values may have been lost."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if value.strip() and not parts:
        raise ValueError("it has only commas; leave it empty for no values")
    return parts


def _address(address: str) -> str:
    if address and not _PUBLIC_URL.fullmatch(address):
        raise ValueError(
            "it is not the http or https URL of a server, such as https://rota.example.com; it may have a path, "
            "but no credentials, query or fragment"
        )
    return address.rstrip("/")


def _networks(proxies: tuple[str, ...]) -> tuple[str, ...]:
    for each in proxies:
        try:
            ip_network(each)
        except ValueError as error:
            raise ValueError(
                f"{error}; give addresses and networks, such as 10.1.2.3 or 10.0.0.0/8"
            ) from None
    return proxies


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin[:100]!r} is not the origin of a page as a browser sends it, such as "
                "https://app.example.com or http://localhost:3000: scheme and host in lower case, the port unless "
                "it is the usual one, no path; * is not possible"
            )
    return origins


def _expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"it is not a regular expression: {error}") from None
    return pattern


def _api_keys(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if len(keys) > _MOST_KEYS:
        raise ValueError("give one key, or two while it is being rotated")
    if any(len(key.get_secret_value()) < _SHORTEST_KEY for key in keys):
        raise ValueError(
            f"a key has at least {_SHORTEST_KEY} characters, e.g. from: openssl rand -hex 24"
        )
    return keys


def _encryption_keys(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    ids = [read_encryption_key(key)[0] for key in keys]
    if len(ids) != len(set(ids)):
        raise ValueError("two keys have the same id")
    return keys


def read_encryption_key(key: SecretStr) -> tuple[str, bytes]:
    """Return the id and the bytes of an encryption key; raises ValueError without the key in the message."""
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


Texts: TypeAlias = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Secrets: TypeAlias = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
ApiKeys: TypeAlias = Annotated[Secrets, AfterValidator(_api_keys)]
EncryptionKeys: TypeAlias = Annotated[Secrets, AfterValidator(_encryption_keys)]
Networks: TypeAlias = Annotated[Texts, AfterValidator(_networks)]
Origins: TypeAlias = Annotated[Texts, AfterValidator(_origins)]
Address: TypeAlias = Annotated[str, AfterValidator(_address)]
Expression: TypeAlias = Annotated[str, AfterValidator(_expression)]
