"""The variables of the environment that are settings, and those that are meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches

from rota.secret_variables import PREFIX
from rota.setting_files import FROM_FILES, variable_of_file
from rota.settings import Settings

#: What the command line and `rota.client` read; the service does not.
CLIENT_VARIABLES = ("ROTA_URL", "ROTA_KEY", "ROTA_CONTEXT")


def unknown_variables(names: Iterable[str]) -> dict[str, str | None]:
    """Return the names that begin with ROTA_ but are not settings, each with the most similar setting or None."""
    prefix = "ROTA_"
    known = [f"{prefix}{name.upper()}" for name in Settings.model_fields]
    known += [variable_of_file(name) for name in FROM_FILES]
    unknown = sorted(
        name
        for name in names
        if name.upper().startswith(prefix)
        and not name.startswith(PREFIX)
        and name.upper() not in {*known, *CLIENT_VARIABLES}
    )
    near = {name: get_close_matches(name.upper(), known, n=1, cutoff=0.7) for name in unknown}
    return {name: found[0] if found else None for name, found in near.items()}
