"""What alerts depend on besides their tasks: every connection carries it, as it does the encryption keys."""

from sqlalchemy import Connection

from rota.domain.alerts.defaults import Alerting

#: The execution option of a connection.
ALERTING = "rota_alerting"
_NONE = Alerting()


def alerting_of(connection: Connection) -> Alerting:
    """Return the defaults of alerts, and the address of the service, of the connection's database."""
    alerting: Alerting = connection.get_execution_options().get(ALERTING, _NONE)
    return alerting
