"""Messages for Slack, and for what takes the same: Mattermost, Discord (`…/slack`), Rocket.Chat, Google Chat bridges.

`blocks` are Slack's (https://docs.slack.dev/reference/block-kit). Others show `text` only, which has everything.
"""

import re
from collections.abc import Iterator
from typing import Any

from rota.domain.alerts.messages import Message

# Discord takes 2,000 characters of text; Slack 150 of a header, 3,000 of a section, 10 fields of 2,000 each.
MOST_TEXT = 1_900
_MOST_HEADER = 150
_MOST_SECTION = 2_900
_MOST_FIELDS = 10
_MOST_FIELD = 500
_MOST_REPLY = 1_000

# Words by which everybody is called. A target must not do that by what it answers.
_CALLS = re.compile(r"@(?=(?:everyone|here|channel|all)\b)", re.IGNORECASE)
_ABSOLUTE = re.compile(r"https?://[^\s|<>]+")


def slack_payload(message: Message) -> dict[str, Any]:
    """Return the body of a request to an incoming webhook."""
    return {"text": _cut(_text(message), MOST_TEXT), "blocks": list(_blocks(message))}


def _text(message: Message) -> str:
    """Return the whole message; what is cut off if it is too long comes last."""
    parts = [f"*{_escaped(message.title)}*"]
    if message.summary:
        parts.append(_escaped(message.summary))
    parts += [_linked(message)] if message.links else []
    if message.error:
        parts.append(f"Error: {_escaped(message.error)}")
    parts += [f"{label}: {_escaped(value)}" for label, value in message.facts]
    if message.reply:
        room = MOST_TEXT - sum(len(part) + 1 for part in parts)
        parts += [_code(message.reply, room)] if room > len("reply") * 4 else []
    return "\n".join(parts)


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    header = message.title if len(message.title) <= _MOST_HEADER else message.title[:149] + "…"
    yield {"type": "header", "text": {"type": "plain_text", "text": header, "emoji": False}}
    if message.summary:
        yield _section(_escaped(message.summary))
    if message.error:
        yield _section(f"*Error*\n{_escaped(message.error)}")
    if message.reply:
        yield _section(f"*Reply*\n{_code(message.reply, _MOST_REPLY)}")
    if message.facts:
        fields = [_field(label, value) for label, value in message.facts[:_MOST_FIELDS]]
        yield {"type": "section", "fields": fields}
    if message.links:
        yield {"type": "context", "elements": [_markdown(_linked(message))]}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _markdown(_cut(text, _MOST_SECTION))}


def _field(label: str, value: str) -> dict[str, Any]:
    return _markdown(_cut(f"*{label}*\n{_escaped(value)}", _MOST_FIELD))


def _markdown(text: str) -> dict[str, Any]:
    # Otherwise Slack makes links of addresses, and of names of channels, that a target has written.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _linked(message: Message) -> str:
    return " · ".join(_link(label, address) for label, address in message.links)


def _link(label: str, address: str) -> str:
    if _ABSOLUTE.fullmatch(address):
        return f"<{_escaped(address)}|{label}>"
    return f"{label}: {_escaped(address)}"


def _code(text: str, most: int) -> str:
    """Return a text as it is, in a block of code of at most so many characters."""
    return f"```{_cut(_escaped(text), most - len('``````'))}```"


def _escaped(text: str) -> str:
    """Return a text without markup that links, calls somebody, or ends a block of code."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _CALLS.sub("@\u200b", escaped.replace("```", "'''"))


def _cut(text: str, most: int) -> str:
    """Return the beginning of an escaped text, not cut within an entity."""
    if len(text) <= most:
        return text
    return re.sub(r"&[a-z]{0,4}$", "", text[: most - 1]) + "…"
