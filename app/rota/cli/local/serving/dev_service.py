"""The process that `rota dev` starts."""

from rota.cli.local.serving.parent import end_with_parent
from rota.cli.local.serving.service import run_service
from rota.cli.local.terminal import settings_of
from rota.cli.registry import run_and_exit
from rota.db import migrations


def run() -> None:
    """Migrate the database, and serve. Exits, at the latest with `rota dev`."""
    end_with_parent()
    run_and_exit(_serve)


def _serve() -> None:
    settings = settings_of()
    migrations.upgrade(settings.database_url)
    run_service(settings)
