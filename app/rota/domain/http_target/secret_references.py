"""Which named secrets a target refers to, where, and to which servers it would send them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from rota.domain.http_target.templates.filling import TemplateError, references
from rota.domain.primitives.json.json_text import escape
from rota.domain.secrets.origins import origin_of

_ROOT = "secret"
# `Bearer {{ secret.crm }}`: a scheme at most, and a reference. Nothing in it is secret itself.
_BY_REFERENCE = re.compile(r"(?:[A-Za-z]{1,16} )?\{\{\s*secret\.[^{}\"]*\}\}")


@dataclass(frozen=True, slots=True)
class SecretUse:
    """A reference to a secret: its name, where it is in the target, and the server that gets it.

    `origin` is None for a URL whose server is ambiguous.
    """

    name: str
    pointer: str
    origin: str | None


def secret_uses(target: Any) -> list[SecretUse]:
    """Return the references to secrets in the headers, the authentication and the signature of a target.

    Those in an OAuth 2 login are sent to its token endpoint, and what that gives for them to the target: they need to
    be permitted for both.
    """
    in_headers = list(_named(target.headers, "/headers"))
    auth = _document(getattr(target, "auth", None))
    signature = _document(getattr(target, "signature", None))
    if not in_headers and auth is None and signature is None:  # as most have none
        return []
    home = origin_of(target.url)
    uses = [SecretUse(name, pointer, home) for name, pointer in in_headers]
    if auth is not None:
        login = origin_of(auth["token_url"]) if isinstance(auth.get("token_url"), str) else home
        for name, pointer in _named(auth, "/auth"):
            uses += [SecretUse(name, pointer, each) for each in dict.fromkeys((login, home))]
    if signature is not None and isinstance(signature.get("secret"), str):
        uses.append(SecretUse(signature["secret"], "/signature/secret", home))
    return uses


def is_by_reference(value: str) -> bool:
    """Return whether the value of a header is a named secret, and so has nothing secret in it."""
    return _BY_REFERENCE.fullmatch(value) is not None


def _document(model: Any) -> dict[str, Any] | None:
    if isinstance(model, BaseModel):
        return model.model_dump(mode="json")
    return model if isinstance(model, dict) else None


def _named(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Yield (name of a secret, pointer to the text that refers to it)."""
    match value:
        case str() if "{{" in value:
            yield from ((name, pointer) for name in _names_in(value))
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _named(item, f"{pointer}/{index}")
        case dict():
            for key, item in value.items():
                yield from _named(item, f"{pointer}/{escape(str(key))}")


def _names_in(text: str) -> list[str]:
    try:
        found = [each.path for each in references(text) if each.path[0] == _ROOT]
    except TemplateError:  # it is no template
        return []
    # `{{ secret }}` names none: an empty name, which no secret has.
    return list(dict.fromkeys(str(path[1]) if len(path) > 1 else "" for path in found))
