"""An operator's access to a connector's state: admin pages, commands, export and import."""

from dataclasses import dataclass

from connector_state.models import Connector
from connector_state.store.calls import Caller, Limits
from connector_state.store.policy import Policy
from connector_state.store.values import StateStore


@dataclass(frozen=True, slots=True)
class OperatorSession:
    """A connector's state and an operator, within the connector's quotas but not its rate."""

    uuid: str
    username: str
    limits: Limits

    @classmethod
    def of(cls, connector: Connector, username: str) -> "OperatorSession":
        """That of a connector as it is in the database."""
        return cls(str(connector.pk), username, Policy.of(connector).limits.without_rate())

    @property
    def caller(self) -> Caller:
        """A fresh one for each call: a nonce is good once."""
        return Caller.operator(self.username, self.limits)

    @property
    def store(self) -> StateStore:
        """The values, for one call."""
        return StateStore(self.uuid, self.caller)
