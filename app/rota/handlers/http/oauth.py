"""The request for an access token by client credentials (OAuth 2: RFC 6749, section 4.4), and its answer.

It goes through the same client as all requests, so the same guard applies.
"""

import asyncio
import re
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final, Literal
from urllib.parse import quote_plus, urlencode

from rota.domain.primitives.json import json_text
from rota.egress.client import USER_AGENT, HttpClient
from rota.egress.requests import Request, Response, SendFailed, host_of
from rota.errors import Invalid, TooLarge

#: How long a request for a token may take, however long the calls that wait for it may.
MOST_SECONDS: Final = 30.0
#: How large the answer of an authorization server may be.
MOST_ANSWER_BYTES: Final = 65_536
_DEFAULT_LIFE = 300.0  # of a token that does not say; the RFC has no default
_LONGEST_LIFE = timedelta(days=1).total_seconds()
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
# Of RFC 6749 (4.1.2.1, 5.2) and RFC 8707. Only these are shown: an answer may quote what it was asked with.
_CODES = frozenset({
    "access_denied", "invalid_client", "invalid_grant", "invalid_request", "invalid_scope", "invalid_target",
    "server_error", "temporarily_unavailable", "unauthorized_client", "unsupported_grant_type",
})  # fmt: skip
_PASSING_CODES = frozenset({"server_error", "temporarily_unavailable"})
_PASSING_STATUS = frozenset({408, 425, 429})

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token is asked for with."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""
    audience: str = ""
    client_auth: Literal["basic", "post"] = "basic"

    @property
    def key(self) -> Key:
        """What a token is kept by: who does not have the secret does not get it."""
        digest = sha256(self.client_secret.encode()).hexdigest()
        return self.token_url, self.client_id, digest, self.scope, self.audience, self.client_auth


class TokenFailed(Exception):
    """There is no token; the text has the host and no secrets.

    `passing`: another attempt may get one, after what the `Retry-After` says, if there is one.
    """

    def __init__(self, message: str, *, passing: bool = True, retry_after: str = "") -> None:
        super().__init__(message)
        self.passing = passing
        self.retry_after = retry_after


def basic(user: str, password: str) -> str:
    """Return the value of `Authorization` for a user name and a password, in UTF-8 (RFC 7617)."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


async def fetch_token(client: HttpClient, grant: Grant) -> tuple[str, float]:
    """Return a new token, and for how many seconds it may be used; raises TokenFailed."""
    return _read(await _ask(client, grant), host_of(grant.token_url))


async def _ask(client: HttpClient, grant: Grant) -> Response:
    host = host_of(grant.token_url)
    try:
        async with asyncio.timeout(MOST_SECONDS):
            return await client.send(_request_of(grant))
    except TimeoutError:
        raise TokenFailed(f"no access token from {host} within {MOST_SECONDS:g} s") from None
    except SendFailed as error:
        raise TokenFailed(f"no access token from {error}", passing=not error.final) from None


def _request_of(grant: Grant) -> Request:
    form = {"grant_type": "client_credentials", "scope": grant.scope, "audience": grant.audience}
    headers = {
        "User-Agent": USER_AGENT,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    if grant.client_auth == "basic":
        # Both are form-encoded first (RFC 6749, section 2.3.1).
        headers["Authorization"] = basic(
            quote_plus(grant.client_id), quote_plus(grant.client_secret)
        )
    else:
        form |= {"client_id": grant.client_id, "client_secret": grant.client_secret}
    given = {name: value for name, value in form.items() if value}
    form_text = urlencode(given).encode()
    # One byte more would be too large.
    return Request("POST", grant.token_url, headers, form_text, max_body_bytes=MOST_ANSWER_BYTES)


def _read(response: Response, host: str) -> tuple[str, float]:
    """Return the token in an answer (RFC 6749, section 5.1), and for how many seconds it may be used."""
    if not 200 <= response.status < 300:
        raise _refusal(response, host)
    answer = _document(response)
    token = answer.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise _unusable(host, "it has no access_token that can be sent")
    kind = answer.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _unusable(host, "its token_type is not Bearer")
    life = _seconds(answer.get("expires_in", _DEFAULT_LIFE))
    if life is None:
        raise _unusable(host, "its expires_in is no number of seconds")
    return token, min(life, _LONGEST_LIFE)


def _document(response: Response) -> dict[str, Any]:
    """Return the JSON object in an answer, or an empty one if it is anything else."""
    if response.truncated or response.encoding or len(response.body) > MOST_ANSWER_BYTES:
        return {}
    try:
        answer = json_text.loads(response.body, json_text.MOST_VALUES)
    except (Invalid, TooLarge):
        return {}
    return answer if isinstance(answer, dict) else {}


def _seconds(given: Any) -> float | None:
    # Some servers send it as a text.
    if isinstance(given, str) and re.fullmatch(r"\d{1,12}", given, re.ASCII):
        return float(given)
    if isinstance(given, int | float) and not isinstance(given, bool):
        return max(float(min(given, _LONGEST_LIFE)), 0.0)
    return None


def _refusal(response: Response, host: str) -> TokenFailed:
    code = _document(response).get("error")
    code = code if isinstance(code, str) and code in _CODES else None
    passing = response.status >= 500 or response.status in _PASSING_STATUS or code in _PASSING_CODES
    message = f"no access token from {host}: {response.status}{f' {code}' if code else ''}"
    if 300 <= response.status < 400:
        message += ", a redirect, which is not followed for credentials"
    return TokenFailed(
        message, passing=passing, retry_after=response.headers.get("retry-after", "")
    )


def _unusable(host: str, why: str) -> TokenFailed:
    return TokenFailed(f"no access token from {host}: the answer cannot be used, since {why}")
