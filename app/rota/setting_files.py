"""Settings from files, as container secrets are: `ROTA_API_KEY_FILE=/run/secrets/rota_key` instead of `ROTA_API_KEY`.

Environment variables are shown by `docker inspect` and inherited by child processes; files are not.
"""

import os
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource, SettingsError

#: The settings that may be secret, and can be read from files.
FROM_FILES = ("database_url", "api_key", "encryption_keys", "http_proxy", "smtp_password")


def variable_of_file(name: str) -> str:
    """Return the variable that names the file of a setting."""
    return f"ROTA_{name.upper()}_FILE"


class FileSettings(PydanticBaseSettingsSource):
    """Reads the settings whose `ROTA_…_FILE` is set. Raises SettingsError."""

    def __call__(self) -> dict[str, Any]:
        """Return the settings that are read from files."""
        paths = {name: os.environ.get(variable_of_file(name), "") for name in FROM_FILES}
        return {name: _read(name, path) for name, path in paths.items() if path}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the text of one setting, its name, and False: it is not JSON."""
        del field
        path = os.environ.get(variable_of_file(field_name), "")
        return (_read(field_name, path) if path else None), field_name, False


def _read(name: str, path: str) -> str:
    variable, setting = variable_of_file(name), f"ROTA_{name.upper()}"
    if os.environ.get(setting):
        raise SettingsError(f"{variable} and {setting} are both set; give one of them.")
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"{variable}: the file {path!r} cannot be read: {error.strerror}."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}: the file {path!r} is not UTF-8.") from None
    if not text:
        raise SettingsError(f"{variable}: the file {path!r} is empty.")
    return text
