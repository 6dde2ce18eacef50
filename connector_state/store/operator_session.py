"""An operator's access to a connector's state: admin pages, commands, export and import."""

from dataclasses import dataclass

from connector_state.models import Connector
from connector_state.store.calls import Caller, Limits
from connector_state.store.policy import Policy
from connector_state.store.values import StateStore


@dataclass(frozen=True, slots=True)
class OperatorSession:
    """An operator's calls on the state of one connector.

    The connector's quotas hold for them too; its rate, namespaces and read-only flag do not.
    """

    uuid: str
    username: str
    limits: Limits

    @classmethod
    def of(cls, connector: Connector, username: str) -> "OperatorSession":
        """Return the session of a user of admin or of the command line."""
        return cls(str(connector.pk), username, Policy.of(connector).limits.without_rate())

    @property
    def caller(self) -> Caller:
        """Return a new caller for each call, since a nonce is good only once."""
        return Caller.operator(self.username, self.limits)

    @property
    def store(self) -> StateStore:
        """Return the connector's values, for one call."""
        return StateStore(self.uuid, self.caller)
