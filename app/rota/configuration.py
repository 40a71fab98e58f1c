"""What the settings make: keys, secrets, defaults of alerts, and what may be connected to.

The service is made of it, and the command line checks it, or opens the database with it.
"""

from rota.db.encryption import Keyring
from rota.db.engines.urls import servers_of
from rota.domain.alerts.defaults import Alerting, read_defaults
from rota.domain.hosts.policy import TargetPolicy
from rota.domain.secrets.environment import Given, from_environment
from rota.domain.secrets.opened import OpenedSecret
from rota.egress.guard import Guard, OwnEndpoint
from rota.egress.proxy import HttpProxy
from rota.egress.smtp.client import MailClient
from rota.egress.smtp.relay import SmtpRelay
from rota.errors import Invalid
from rota.listening import check_loopback
from rota.settings import Settings


def keyring(settings: Settings) -> Keyring | None:
    """Return the encryption keys, None if none are set."""
    return Keyring(settings.keys_by_id) if settings.encryption_keys else None


def environment_secrets(settings: Settings) -> dict[str, OpenedSecret]:
    """Return the named secrets of the environment; raises Invalid."""
    return from_environment(
        Given(each.variable, each.name, each.value, each.origins, each.tasks)
        for each in settings.secrets
    )


def is_local(settings: Settings) -> bool:
    """Return whether the service listens for this machine only, whose programs need no key as long as there is none."""
    try:
        check_loopback(settings.host, settings.port)
    except Invalid:
        return False
    return not settings.api_key


def alerting(settings: Settings) -> Alerting:
    """Return the defaults of alerts, and the address for links in them; raises Invalid."""
    defaults = read_defaults(
        settings.on_failure, settings.on_success, settings.on_skipped, settings.on_late
    )
    return Alerting(defaults=defaults, public_url=settings.public_url)


def targets_of(settings: Settings, *, has_keys: bool = False) -> TargetPolicy:
    """Return what may be connected to; raises Invalid. `has_keys`: there are stored keys.

    A service without a key is there for this machine only, and so are its targets on the loopback.
    """
    if settings.http_targets:
        return TargetPolicy.of(settings.http_targets)
    return TargetPolicy.by_default(on_loopback=is_local(settings) and not has_keys)


def guard_of(
    settings: Settings, policy: TargetPolicy | None = None, *, has_keys: bool = False
) -> Guard:
    """Return the guard of connections, by default of those to targets; raises Invalid. `has_keys`: some are stored.

    It refuses the database, and the service itself where that requires a key, which a target might not have; without
    one, redirects to it.
    """
    needs_key = has_keys or not is_local(settings)
    own = [OwnEndpoint(host, port) for host, port in servers_of(settings.database_url)]
    host = settings.host.strip("[]")
    own.append(OwnEndpoint(host, settings.port, is_for_targets=not needs_key))
    if policy is not None:
        return Guard(policy, own)
    return Guard(targets_of(settings, has_keys=has_keys), own, HttpProxy.of(settings))


def mail_client(settings: Settings) -> MailClient | None:
    """Return the client of the relay for e-mails, None if there is none; raises Invalid.

    Who runs the service names the relay, and no task: it may be on this machine, or anywhere.
    """
    relay = SmtpRelay.of(settings)
    if relay is None:
        return None
    return MailClient(relay, guard_of(settings, TargetPolicy.by_default(on_loopback=True)))
