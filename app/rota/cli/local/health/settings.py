"""Settings: whether they can be read, whether they agree, and variables that are none."""

import os
from collections.abc import Iterator

from pydantic import ValidationError
from pydantic_settings import SettingsError

from rota.cli.local.findings import Finding, Level
from rota.cli.local.terminal import faults_of_settings
from rota.configuration import alerting, environment_secrets, targets_of
from rota.egress.proxy import HttpProxy
from rota.egress.smtp.relay import SmtpRelay
from rota.errors import AppError
from rota.setting_names import unknown_variables
from rota.settings import Settings

_WHERE = "Correct the variable; docs/configuration.md has what it may be"


def read() -> tuple[Settings | None, list[Finding]]:
    """Return the settings, None if they are wrong, and the findings about them."""
    try:
        given = Settings()
    except ValidationError as error:
        faults = faults_of_settings(error)
    except SettingsError as error:
        faults = [str(error)]
    else:
        return given, [Finding(Level.OK, "settings", "They can be read.")]
    return None, [Finding(Level.ERROR, "settings", each, _WHERE) for each in faults]


def unknown() -> Iterator[Finding]:
    """Yield the variables that begin as settings do and are none."""
    for name, nearest in unknown_variables(os.environ).items():
        fix = (
            "Remove it" if nearest is None else f"If {nearest} is meant, rename it; else remove it"
        )
        yield Finding(Level.WARNING, "settings", f"{name} is no setting; it is not read.", fix)


def agreeing(settings: Settings) -> Iterator[Finding]:
    """Yield what the service would refuse of settings that can be read."""
    for check in (targets_of, alerting, SmtpRelay.of, HttpProxy.of, environment_secrets):
        try:
            check(settings)
        except AppError as error:
            yield Finding(Level.ERROR, "settings", error.detail, _WHERE)
