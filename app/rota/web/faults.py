"""What the API says about a form that it has refused."""

from collections.abc import Mapping
from typing import Any

from rota.errors import AppError
from rota.web.api_client import ApiProblemError


def fault_of(error: ApiProblemError) -> Mapping[str, Any]:
    """Return the detail of a refusal and its errors, for the page of the form; raises it if nobody is signed in."""
    if error.status == 401:
        raise error
    problem = error.problem
    return {"detail": problem.get("detail", "That did not work."), "errors": _errors(problem)}


def fault_of_name(what: str) -> Mapping[str, Any]:
    """Return what is wrong with a confirmation that is not the name of the thing."""
    detail = f"That is not the name of the {what}. Type it as it stands above. Nothing was deleted."
    return {"detail": detail, "errors": []}


def not_json(what: str, error: AppError) -> str:
    """Return what is wrong with a text that is no JSON."""
    return f"The {what} is no JSON: {why_no_json(error)}"


def why_no_json(error: AppError) -> str:
    """Return why a text is no JSON: on a page it is no body."""
    return error.detail.removeprefix("The body is not JSON: ")


def _errors(problem: Mapping[str, Any]) -> list[Mapping[str, str]]:
    return [
        {"at": each.get("pointer") or each.get("parameter") or "", "detail": each.get("detail", "")}
        for each in problem.get("errors") or ()
    ]
