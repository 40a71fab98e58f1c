"""Messages as plain text, for e-mails."""

from rota.domain.alerts.messages import MOST_LINE, Message

_PREFIX = "[rota] "


def subject_of(message: Message) -> str:
    """Return the subject: one line, with nothing that is decoded (`=?…?=`, RFC 2047)."""
    return (_PREFIX + message.title)[:MOST_LINE].replace("=?", "= ?")


def text_of(message: Message) -> str:
    """Return the text, in paragraphs; it ends with a line end."""
    paragraphs = [message.title, message.summary]
    if message.error:
        paragraphs.append(f"Error:\n{_indented(message.error)}")
    if message.reply:
        paragraphs.append(f"The target's reply:\n{_indented(message.reply)}")
    paragraphs.append(_table(message.facts))
    paragraphs.append(_table(message.links))
    return "\n\n".join(part for part in paragraphs if part) + "\n"


def _table(rows: tuple[tuple[str, str], ...]) -> str:
    width = max((len(label) for label, _ in rows), default=0) + 1
    return "\n".join(f"{label + ':':<{width}} {value}" for label, value in rows)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
