"""The load: what is due in the coming week by hour, and what ended in the last hours."""

import asyncio
from typing import Final

from starlette.responses import Response

from rota.web.charts.around import ended_bars, heat_map, lateness_bars
from rota.web.page import Page, Views

_HOURS: Final = 12
_FULLEST: Final = 10


async def show(page: Page) -> Response:
    """Show both; the first page has it as well, once it is there."""
    wanted = {"tag": page.parameters.get("tag"), "task": page.parameters.get("task")}
    due, ended = await asyncio.gather(
        page.api.find("upcoming", "hours", **wanted),
        page.api.find("stats", "hours", hours=_HOURS),
    )
    hours = due["items"] if due else []
    fullest = sorted(hours, key=lambda each: (-each["runs"], each["at"]))[:_FULLEST]
    past = ended["items"] if ended else []
    return page.show(
        "around/load.html",
        due=due,
        heat=heat_map(hours),
        total=sum(each["runs"] for each in hours),
        seconds=sum(each["seconds"] for each in hours),
        fullest=[each for each in fullest if each["runs"]],
        past=past,
        ended=ended_bars(past),
        lateness=lateness_bars(past),
    )


VIEWS: Final[Views] = {("GET", "/ui/load"): show}
