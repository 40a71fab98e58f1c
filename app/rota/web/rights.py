"""What the key of a session may do: pages show no control that the API would refuse it.

Who may call a route is asked of the routes themselves, so that a page cannot say something else than the API does.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Final

from starlette.requests import Request

from rota.api.http.access import Needs, check_settings, needs_of
from rota.domain.access.principal import ANONYMOUS, Principal
from rota.errors import NotFound

#: What a page reads first, of those that not every key may open.
_READS: Final[Mapping[str, str]] = {
    "/ui/tasks": "GET /v1/tasks",
    "/ui/runs": "GET /v1/runs",
    "/ui/runs/bulk": "GET /v1/bulk",
    "/ui/queues": "GET /v1/queues",
    "/ui/holds": "GET /v1/holds",
    "/ui/calendars": "GET /v1/calendars",
    "/ui/handlers": "GET /v1/handlers",
    "/ui/secrets": "GET /v1/secrets",
    "/ui/keys": "GET /v1/keys",
    "/ui/audit": "GET /v1/audit",
}


class Rights:
    """What one client may do; of one that is not known yet, only that it may try the navigation."""

    def __init__(self, request: Request, caller: Principal | None) -> None:
        self._request = request
        self._is_known = caller is not None
        self._caller = caller or ANONYMOUS

    def may(self, route: str) -> bool:
        """Return whether it may call a route, such as `POST /v1/tasks/{name}/run`, for what it can see."""
        return self._needs[route].allows(self._caller)

    def check(self, route: str) -> None:
        """Raise Forbidden, as the API would, if it may not call a route."""
        self._needs[route].check_scope(self._caller)

    def may_open(self, page: str) -> bool:
        """Return whether it may open a page of the navigation."""
        return not self._is_known or page not in _READS or self.may(_READS[page])

    def may_set_queue(self, name: str) -> bool:
        """Return whether it may change the settings of a queue."""
        try:
            check_settings(self._caller, name)
        except NotFound:
            return False
        return self.may("PUT /v1/queues/{name}")

    @cached_property
    def _needs(self) -> Mapping[str, Needs]:
        found = {
            f"{method} {route.path}": needs_of(route.dependant)
            for route in self._request.app.state.routes
            for method in route.methods
        }
        return {route: needs for route, needs in found.items() if needs is not None}
