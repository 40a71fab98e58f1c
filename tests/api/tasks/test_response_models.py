"""OpenAPI describes the fields that responses with tasks have, and no others."""

from rota.api.tasks.response_models import RegistrationOut, TaskOut
from tests.api.service import MANUAL, Api

HTTP = {"handler": "http", "target": {"url": "http://127.0.0.1:1/x"}, "schedule": MANUAL}


def test_a_task_has_the_fields_of_its_model(api: Api) -> None:
    api.put("/v1/tasks/t", json=HTTP)

    read = api.read("/v1/tasks/t")

    assert read.keys() | {"unreadable"} == TaskOut.model_fields.keys()


def test_a_registration_has_the_fields_of_its_model(api: Api) -> None:
    registered = api.post("/v1/tasks?on_conflict=keep", json=HTTP | {"name": "t"}).json()
    kept = api.post("/v1/tasks?on_conflict=keep", json=HTTP | {"name": "t"}).json()

    assert kept.keys() - registered.keys() == {"differs"}
    assert kept.keys() | {"unreadable"} == RegistrationOut.model_fields.keys()
