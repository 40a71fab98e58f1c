"""Checks of the inputs of notifiers: by their models, whose messages quote no address, which may be secret."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rota.domain.alerts.notifiers import (
    EMAIL,
    SLACK,
    WEBHOOK,
    EmailInput,
    NotifierInput,
    SlackInput,
    WebhookInput,
)
from rota.domain.schedules.definitions import After, Planned
from rota.domain.validation.faults import faults_in
from rota.errors import Fault

_MODELS: Mapping[str, TypeAdapter[Any]] = {
    name: TypeAdapter[NotifierInput](model)
    for name, model in ((WEBHOOK, WebhookInput), (SLACK, SlackInput), (EMAIL, EmailInput))
}


def notifier_faults(handler: str, input: Any, schedule: Planned | None = None) -> list[Fault]:
    """Return the faults of the input of a notifier, with pointers below `/input`; at most 20.

    `schedule`: that of the task whose input it is; results of predecessors may become fields of it.
    """
    if isinstance(schedule, After) and schedule.merge == "overwrite":
        return []
    model = _MODELS[handler]
    try:
        model.validate_python(input)
    except ValidationError as error:
        found = faults_in(error, input, model.core_schema, model.validate_python)
        return [Fault(f"/input{each.pointer}", each.detail) for each in found]
    return []
