"""The OpenAPI document of the service, made once: that takes as long as to collect a thousand tests."""

from copy import deepcopy
from functools import cache
from typing import Any

from rota.main import create_app
from rota.settings import Settings
from tests.support.routes import with_shared_routes


def openapi_document() -> dict[str, Any]:
    """Return the document, which is the caller's own."""
    return deepcopy(_made())


@cache
def _made() -> dict[str, Any]:
    app = create_app(Settings(database_url="sqlite:///never-opened.db"))
    return with_shared_routes(app).openapi()
