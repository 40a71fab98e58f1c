"""Badges as SVG: presentation attributes only, so that they need no style, no script and no policy for them."""

from html import escape

from rota.domain.stats.badge import Badge

_HEIGHT, _PADDING = 20, 8
#: Widths of letters in Verdana at 11 px, about; `textLength` makes any font as wide.
_NARROW, _USUAL, _WIDE = 4.2, 6.8, 9.8
_LABEL_COLOUR = "#3d444d"


def draw(badge: Badge) -> str:
    """Return the SVG of a badge; its texts are escaped."""
    label, message = _part(badge.label, 0), _part(badge.message, _width(badge.label))
    left, right = _width(badge.label), _width(badge.message)
    title = escape(f"{badge.label}: {badge.message}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{_HEIGHT}" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<rect width="{left}" height="{_HEIGHT}" fill="{_LABEL_COLOUR}"/>'
        f'<rect x="{left}" width="{right}" height="{_HEIGHT}" fill="{badge.colour}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{label}{message}</g></svg>\n"
    )


def _part(text: str, begin: int) -> str:
    length = _width(text) - 2 * _PADDING
    return (
        f'<text x="{begin + _PADDING}" y="14" textLength="{length}" lengthAdjust="spacingAndGlyphs">'
        f"{escape(text, quote=True)}</text>"
    )


def _width(text: str) -> int:
    return round(sum(map(_letter, text))) + 2 * _PADDING


def _letter(letter: str) -> float:
    if letter in "fijlrt.,:;|! -~":
        return _NARROW
    return _WIDE if letter in "mwMW%≈@" or ord(letter) > 0x24F else _USUAL
