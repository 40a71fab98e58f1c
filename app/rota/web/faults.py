"""What the API says about a form that it has refused."""

from collections.abc import Mapping
from typing import Any

from rota.web.api_client import ApiProblemError


def fault_of(error: ApiProblemError) -> Mapping[str, Any]:
    """Return the detail of a refusal and its errors, for the page of the form; raises it if nobody is signed in."""
    if error.status == 401:
        raise error
    problem = error.problem
    return {"detail": problem.get("detail", "That did not work."), "errors": _errors(problem)}


def _errors(problem: Mapping[str, Any]) -> list[Mapping[str, str]]:
    return [
        {"at": each.get("pointer") or each.get("parameter") or "", "detail": each.get("detail", "")}
        for each in problem.get("errors") or ()
    ]
