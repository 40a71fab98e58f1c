"""The models of the client are those of the OpenAPI document."""

import pkgutil
from importlib import import_module
from typing import Any

import pytest

import rota.client.models
from rota.client import InvalidResponse
from rota.client.models.base import Model
from rota.client.models.runs import Progress
from tests.support.openapi import openapi_document


def _models() -> list[type[Model]]:
    for module in pkgutil.iter_modules(rota.client.models.__path__, "rota.client.models."):
        import_module(module.name)
    found: list[type[Model]] = []
    pending = [Model]
    while pending:
        kinds = pending.pop().__subclasses__()
        found += kinds
        pending += kinds
    return sorted(set(found), key=lambda kind: kind.__name__)


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    return dict(openapi_document()["components"]["schemas"])


@pytest.mark.parametrize("model", _models(), ids=lambda model: model.__name__)
def test_a_model_has_the_fields_of_its_schema(model: type[Model], schemas: dict[str, Any]) -> None:
    schema = schemas[model.schema_name]
    fields = {field.alias or name: field for name, field in model.model_fields.items()}

    assert set(fields) == set(schema["properties"])
    required = {name for name, field in fields.items() if field.is_required()}
    assert required <= set(schema.get("required", ()))


def test_fields_of_a_newer_service_are_kept() -> None:
    made = Progress.model_validate({"fraction": 0.5, "message": None, "phase": "upload"})

    assert made.model_dump() == {"fraction": 0.5, "message": None, "phase": "upload"}


def test_what_is_something_else_is_reported() -> None:
    with pytest.raises(InvalidResponse, match="no ProgressOut: fraction: Input should be"):
        Progress.of({"fraction": "much", "message": None})
