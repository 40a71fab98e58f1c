"""Texts of a target that look like templates and are none: they are sent as they are."""

from collections.abc import Iterator
from typing import Any

from rota.domain.http_target.target import Target
from rota.domain.primitives import english
from rota.domain.primitives.finding import Finding
from rota.domain.primitives.json_text import escape

_OPENS = "{{"
_MOST_NAMED = 3


def literal_templates(target: Target) -> Iterator[Finding]:
    """Yield that texts with `{{` are sent as they are: without `kv` all of them, the URL always."""
    if not target.kv:
        parts = {"headers": target.headers, "query": target.query, "body": target.body}
        places = list(_places(parts, "/target"))
        if places:
            yield _literal(
                places,
                "as target.kv is not given. Name the entries that the request needs there "
                '("kv": ["cursor"]) to have references filled in; "*" stands for all of them.',
            )
    if _OPENS in target.url:
        yield _literal(
            ["/target/url"], "as the URL is never filled in. Put what changes into target.query."
        )


def _literal(places: list[str], why: str) -> Finding:
    shown = english.and_list(places[:_MOST_NAMED])
    more = f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
    verb = "is" if len(places) == 1 else "are"
    return Finding("literal_template", f"'{{{{' in {shown}{more} {verb} sent as it stands, {why}")


def _places(value: Any, path: str) -> Iterator[str]:
    """Yield where in a JSON value texts with `{{` are; names of members are never filled in, and do not count."""
    match value:
        case str() if _OPENS in value:
            yield path
        case dict():
            for name, member in value.items():
                yield from _places(member, f"{path}/{escape(name)}")
        case list():
            for index, item in enumerate(value):
                yield from _places(item, f"{path}/{index}")
