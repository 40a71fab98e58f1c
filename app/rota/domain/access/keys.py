"""The text of an API key: `rota_<id>_<secret><checksum>`.

The id is shown wherever the key is named, the secret never again. The checksum distinguishes a
mistyped key from an unknown one, and lets scanners of repositories recognise keys without asking the service.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import choice
from typing import Final, NewType
from zlib import crc32

#: The id of a stored key.
KeyId = NewType("KeyId", str)

PREFIX: Final = "rota_"
KEY_ID_PATTERN: Final = r"^[a-z2-7]{12}$"
_ID_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH: Final = 12
#: 62 ** 43 is more than 2 ** 256.
_SECRET_LENGTH: Final = 43
#: 62 ** 6 is more than 2 ** 32.
_CHECKSUM_LENGTH: Final = 6
_FORM: Final = re.compile(
    rf"(rota_([a-z2-7]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}}))([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)

Choose = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as its holder has it."""

    id: KeyId
    secret: str = field(repr=False)

    @property
    def digest(self) -> bytes:
        """What is stored of the secret. It has 256 random bits, so that a fast digest cannot be searched."""
        return sha256(self.secret.encode()).digest()

    @property
    def text(self) -> str:
        """The text that its holder sends."""
        body = f"{PREFIX}{self.id}_{self.secret}"
        return body + _checksum(body)


def new_key_id(choose: Choose = choice) -> KeyId:
    """Return a random id; `choose` draws one letter of a text."""
    return KeyId("".join(choose(_ID_LETTERS) for _ in range(_ID_LENGTH)))


def new_key(id: KeyId, choose: Choose = choice) -> ApiKey:
    """Return a key with a random secret."""
    return ApiKey(id, "".join(choose(_LETTERS) for _ in range(_SECRET_LENGTH)))


def is_meant_as_key(text: str) -> bool:
    """Return whether a text begins as the keys do that Rota makes."""
    return text.startswith(PREFIX)


def parse_key(text: str) -> ApiKey | None:
    """Return the key in a text; None for a text of another form, or whose checksum does not fit."""
    match = _FORM.fullmatch(text)
    if match is None or _checksum(match[1]) != match[4]:
        return None
    return ApiKey(KeyId(match[2]), match[3])


def _checksum(body: str) -> str:
    number = crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_LETTERS))
        digits.append(_LETTERS[digit])
    return "".join(reversed(digits))
