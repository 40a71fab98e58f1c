"""Verifies that a call is Rota's, unchanged and new: Standard Webhooks 1.0.0, as `target.signature` signs."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from rota.domain.http_target.signature import read_key

#: The variable with the keys, separated by commas.
VARIABLE = "ROTA_SIGNING_KEYS"
#: How old a call may be, or how far in the future, in seconds.
TOLERANCE = 300.0

_TIMESTAMP = re.compile(r"[0-9]{1,15}")


class NotSigned(Exception):
    """A request is not Rota's, was changed, or is old."""


def read_keys(texts: Sequence[str]) -> tuple[bytes, ...]:
    """Return the keys in texts, without the empty ones; raises ValueError for what is no key, or if there is none."""
    found = tuple(read_key(text.strip()) for text in texts if text.strip())
    if not found:
        raise ValueError(f"give the receiver the signing key of the target, or set {VARIABLE}")
    return found


def verify(
    keys: Sequence[bytes],
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    tolerance: float = TOLERANCE,
) -> str:
    """Return the id of the run whose call this is; raises NotSigned.

    `headers` has names in lower case or is without case; `now` is in seconds since 1970. Any of the keys may have
    signed: while a rotation overlaps, Rota sends a signature by each of its keys.
    """
    run_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    # With a '.' in the id, the content could have been signed as that of another id and time.
    if not run_id or "." in run_id or not _TIMESTAMP.fullmatch(sent_at):
        raise NotSigned("there is no webhook-id, or no webhook-timestamp")
    if abs(now - int(sent_at)) > tolerance:
        raise NotSigned(f"the call is more than {tolerance:g} seconds old, or from the future")
    content = f"{run_id}.{sent_at}.".encode() + body
    given = headers.get("webhook-signature", "").encode().split(b" ")
    expected = [_signature(key, content) for key in keys]
    if not any(hmac.compare_digest(ours, theirs) for ours in expected for theirs in given):
        raise NotSigned("no signature is by one of our keys")
    return run_id


def _signature(key: bytes, content: bytes) -> bytes:
    return b"v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())
