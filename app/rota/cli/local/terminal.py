"""What the commands without a service share: settings, sentences on the terminal, refusals."""

import os
from typing import Any

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from rota import logs
from rota.domain.validation.locations import Place
from rota.domain.validation.messages import word
from rota.settings import Settings


def settings_of(**given: Any) -> Settings:
    """Return the settings, with those that were given as options. Exits if one is wrong."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        lines = faults_of_settings(error)
        raise refusal("\n".join(lines)) from None
    except SettingsError as error:  # a file of a setting cannot be read
        raise refusal(str(error)) from None


def faults_of_settings(error: ValidationError) -> list[str]:
    """Return what is wrong with settings, a sentence each."""
    faults = [
        (each["loc"], word([each], Place("")))
        for each in error.errors(include_input=False)  # it may be a key
    ]
    # Messages about several settings name them.
    return [
        f"ROTA_{'_'.join(map(str, where)).upper()}: {message}" if where else message
        for where, message in faults
    ]


def announce(
    settings: Settings, event: str, sentence: str, *, err: bool = False, **fields: Any
) -> None:
    """Print a sentence on the terminal; if the log format is JSON, log an event instead."""
    if settings.log_format == "json":
        logs.write_json("info", event, **fields)
    else:
        typer.echo(sentence, err=err)


def refusal(message: str) -> typer.Exit:
    """Print why a command is refused; return the exit."""
    # Not from the settings: they may be wrong.
    if os.environ.get("ROTA_LOG_FORMAT") == "json":
        logs.write_json("error", "refused", error=message)
    else:
        typer.echo(f"rota: {message}", err=True)
    return typer.Exit(2)
